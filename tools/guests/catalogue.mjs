// What the project boots: each guest, the Debian packages it comes from and the files it leaves in its directory.

import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GuestError } from './apt.mjs';
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

/** Every guest by name. */
export const GUESTS = {
  cloud: kernel(
    'linux-image-cloud-amd64',
    'the kernel for virtual machines (the demo and the benchmarks boot it)',
  ),
  busybox: busybox('busybox-static', 'initramfs with a shell, 64-bit'),
  amd64: kernel('linux-image-amd64', 'the big kernel for real machines'),
  'installer-amd64': installer('amd64'),
  'installer-i386': installer('i386'),
  'busybox-i386': busybox('busybox-static:i386', 'initramfs with a shell, 32-bit'),
  '686-pae': kernel('linux-image-686-pae:i386', '32-bit kernel with PAE'),
};
