// What the project boots: each guest, the Debian packages it comes from and the files it leaves in its directory.

import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestError } from './apt.mjs';
import { writeCpio } from './cpio.mjs';
import { makeDebianDisk } from './debian-disk.mjs';
import { buildInitramfs } from './initramfs.mjs';
import { extractVmlinux } from './vmlinux.mjs';

function kernelIn(dir) {
  const name = readdirSync(join(dir, 'boot')).find((file) => file.startsWith('vmlinuz-'));
  if (!name) throw new GuestError(`no /boot/vmlinuz-* in the kernel package (${dir})`);
  return join(dir, 'boot', name);
}

/** A kernel from a meta package: `vmlinuz` and the `vmlinux` inside it. */
const kernel = (meta, about) => ({
  about,
  files: ['vmlinuz', 'vmlinux'],
  make({ apt, out, scratch, log }) {
    const unpacked = scratch(meta.replace(':', '-'));
    apt.unpack(apt.resolveMeta(meta), unpacked);
    copyFileSync(kernelIn(unpacked), join(out, 'vmlinuz'));
    const { vmlinux, format } = extractVmlinux(readFileSync(join(out, 'vmlinuz')));
    writeFileSync(join(out, 'vmlinux'), vmlinux);
    log(`vmlinux: ${(vmlinux.length / 2 ** 20).toFixed(1)} MiB out of the ${format} payload`);
  },
});

/** Modules of the cloud kernel for virtio devices, in an order in which each finds what it needs. */
const VIRTIO_MODULES = [
  'virtio',
  'virtio_ring',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_mmio',
  'virtio_blk',
  'rng-core',
  'virtio-rng',
  'virtio_console',
  'virtio_balloon',
  'scsi_common',
  'scsi_mod',
  'virtio_scsi',
  'crc-t10dif',
  'crct10dif_common',
  't10-pi',
  'crc64',
  'crc64-rocksoft',
  'crc64-rocksoft_generic',
  'sd_mod',
  'fscache',
  'netfs',
  '9pnet',
  '9p',
  '9pnet_virtio',
  'i6300esb',
];

/** Modules for network cards and what the shell's network programs need. */
const NETWORK_MODULES = [
  'virtio',
  'virtio_ring',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'af_packet',
  'failover',
  'net_failover',
  'virtio_net',
  'mii',
  'e1000',
  'ptp',
  'pps_core',
  'e1000e',
  '8139too',
  '8139cp',
  '8390',
  'ne2k-pci',
  'ne',
  'pcnet32',
];

/** What udhcpc calls with what it learnt. */
const UDHCPC_SCRIPT = `#!/bin/sh
case "$1" in
  deconfig) ip link set "$interface" up ;;
  bound | renew)
    ifconfig "$interface" "$ip" netmask "$subnet"
    for r in $router; do ip route add default via "$r" dev "$interface"; done
    for d in $dns; do echo "nameserver $d"; done > /etc/resolv.conf
    echo "bound $ip/$mask router $router dns $dns domain $domain boot $boot_file" ;;
esac
`;

const NET_FILES = [
  ...['etc', 'etc/udhcpc'].map((path) => ({ path, type: 'dir', mode: 0o755 })),
  { path: 'etc/udhcpc/default.script', type: 'file', mode: 0o755, data: UDHCPC_SCRIPT },
];

/** Modules for sound cards, with the old interface that a shell can write to. */
const SOUND_MODULES = [
  'soundcore',
  'snd',
  'snd-timer',
  'snd-seq-device',
  'snd-rawmidi',
  'snd-hwdep',
  'snd-pcm',
  'snd-mixer-oss',
  'snd-pcm-oss',
  'ac97_bus',
  'snd-ac97-codec',
  'snd-intel8x0',
  'snd-hda-core',
  'snd-intel-dspcfg',
  'snd-intel-sdw-acpi',
  'soundwire-bus',
  'snd-hda-codec',
  'ledtrig-audio',
  'snd-hda-codec-generic',
  'snd-hda-intel',
];

/** A kernel with a second archive of those modules it has and a script that loads them, to follow the shell's own. */
const kernelWithModules = (
  meta,
  about,
  { names = VIRTIO_MODULES, loader = 'load-virtio', more = [] } = {},
) => ({
  about,
  files: ['vmlinuz', 'modules.cpio'],
  make({ apt, out, scratch, log }) {
    const unpacked = scratch(`${meta}-modules`);
    apt.unpack(apt.resolveMeta(meta), unpacked);
    copyFileSync(kernelIn(unpacked), join(out, 'vmlinuz'));
    const files = readdirSync(join(unpacked, 'lib', 'modules'), { recursive: true }).map(String);
    const found = names.flatMap((name) => {
      const path = files.find((file) => file.endsWith(`/${name}.ko`));
      return path === undefined ? [] : [{ name, path: join(unpacked, 'lib', 'modules', path) }];
    });
    // Twice: what came too early the first time finds its needs the second time.
    const script = [
      '#!/bin/sh',
      'for round in 1 2; do',
      ...found.map(({ name }) => `insmod /modules/${name}.ko 2>/dev/null`),
      'done',
      'true',
    ];
    const archive = writeCpio([
      { path: 'modules', type: 'dir', mode: 0o755 },
      ...found.map(({ name, path }) => ({
        path: `modules/${name}.ko`,
        type: 'file',
        mode: 0o644,
        data: readFileSync(path),
      })),
      { path: loader, type: 'file', mode: 0o755, data: `${script.join('\n')}\n` },
      ...more,
    ]);
    writeFileSync(join(out, 'modules.cpio'), archive);
    log(`modules: ${found.map(({ name }) => name).join(' ')}`);
  },
});

const busybox = (pkg, about) => ({
  about,
  files: ['busybox', 'initrd.gz'],
  make({ apt, out, scratch, log }) {
    const unpacked = scratch(pkg.replace(':', '-'));
    apt.unpack(pkg, unpacked);
    const candidates = ['bin/busybox', 'usr/bin/busybox'].map((path) => join(unpacked, path));
    const source = candidates.find((path) => {
      try {
        return readFileSync(path).length > 0;
      } catch {
        return false;
      }
    });
    if (!source) throw new GuestError(`no busybox in the package ${pkg}`);
    copyFileSync(source, join(out, 'busybox'));
    const initrd = buildInitramfs(readFileSync(source));
    writeFileSync(join(out, 'initrd.gz'), initrd);
    log(`initrd.gz: ${(initrd.length / 2 ** 20).toFixed(1)} MiB`);
  },
});

const installer = (arch) => ({
  about: `Debian 12's network installer for ${arch}: kernel and its own 40 MB initrd`,
  files: ['vmlinuz', 'initrd.gz'],
  make({ apt, out, scratch }) {
    const pkg = `debian-installer-12-netboot-${arch}`;
    const unpacked = scratch(pkg);
    apt.unpack(pkg, unpacked);
    const images = join(unpacked, `usr/lib/debian-installer/images/12/${arch}/text/debian-installer/${arch}`);
    copyFileSync(join(images, 'linux'), join(out, 'vmlinuz'));
    copyFileSync(join(images, 'initrd.gz'), join(out, 'initrd.gz'));
  },
});

/** Modules of the big kernel for USB controllers, what plugs into them, input devices and file systems. */
const USB_MODULES = [
  ...[
    'usb-common',
    'usbcore',
    'uhci-hcd',
    'ehci-hcd',
    'ehci-pci',
    'ohci-hcd',
    'ohci-pci',
    'xhci-hcd',
    'xhci-pci',
  ],
  ...[
    'scsi_common',
    'scsi_mod',
    'crct10dif_common',
    'crc-t10dif',
    'crc64',
    'crc64-rocksoft',
    't10-pi',
    'sd_mod',
  ],
  ...[
    'cdrom',
    'sr_mod',
    'usb-storage',
    'hid',
    'usbhid',
    'hid-generic',
    'evdev',
    'psmouse',
    'usbserial',
    'ftdi_sio',
  ],
  ...[
    'virtio',
    'virtio_ring',
    'virtio_pci_legacy_dev',
    'virtio_pci_modern_dev',
    'virtio_pci',
    'virtio_input',
  ],
  ...[
    'crc16',
    'crc32c_generic',
    'libcrc32c',
    'mbcache',
    'jbd2',
    'ext4',
    'fat',
    'vfat',
    'nls_cp437',
    'nls_ascii',
  ],
];

/** Every guest by name. */
export const GUESTS = {
  cloud: kernel(
    'linux-image-cloud-amd64',
    'the kernel for virtual machines (the demo and the benchmarks boot it)',
  ),
  'cloud-modules': kernelWithModules('linux-image-cloud-amd64', 'the same with its modules for virtio'),
  'net-modules': kernelWithModules('linux-image-amd64', 'the big kernel with its modules for network cards', {
    names: NETWORK_MODULES,
    loader: 'load-network',
    more: NET_FILES,
  }),
  'cloud-net': kernelWithModules(
    'linux-image-cloud-amd64',
    'the cloud kernel with its modules for virtio-net',
    {
      names: NETWORK_MODULES,
      loader: 'load-network',
      more: NET_FILES,
    },
  ),
  'sound-modules': kernelWithModules('linux-image-amd64', 'the big kernel with its modules for sound cards', {
    names: SOUND_MODULES,
    loader: 'load-sound',
  }),
  'usb-modules': kernelWithModules('linux-image-amd64', 'the big kernel with its modules for USB and input', {
    names: USB_MODULES,
    loader: 'load-usb',
  }),
  busybox: busybox('busybox-static', 'initramfs with a shell, 64-bit'),
  amd64: kernel('linux-image-amd64', 'the big kernel for real machines'),
  'installer-amd64': installer('amd64'),
  'installer-i386': installer('i386'),
  'busybox-i386': busybox('busybox-static:i386', 'initramfs with a shell, 32-bit'),
  '686-pae': kernel('linux-image-686-pae:i386', '32-bit kernel with PAE'),
  'debian-disk': {
    about: 'Debian with systemd, installed by debootstrap on a disk with GRUB (needs root and a build)',
    files: ['vmlinuz', 'initrd.img', 'debian.qcow2'],
    optional: true,
    make: makeDebianDisk,
  },
};
