/** The texts of `-help` and its relatives. */
import { readFileSync } from 'node:fs';
import { distUrl } from '../host/node/dist-files.ts';
import { SYSTEM_DIRECTORIES } from '../host/node/firmware-files.ts';
import { FEATURE_BITS } from '../target/x86/cpu-features.ts';
import { NOT_IMPLEMENTED } from '../target/x86/cpu-known-features.ts';
import { cpuModelList } from '../target/x86/cpu-models.ts';
import type { Architecture } from './command-line.ts';

export const CHARDEV_KINDS = ['file', 'null', 'pty', 'socket', 'stdio'];

export function version(): string {
  const text = readFileSync(distUrl('../package.json'), 'utf8');
  return `Lyrebird version ${(JSON.parse(text) as { version: string }).version}\n`;
}

export function list(title: string, names: readonly string[]): string {
  return `${title}\n${names.map((name) => `  ${name}\n`).join('')}`;
}

/** Words in lines of at most 76 columns. */
function wrapped(words: readonly string[]): string {
  let text = '';
  let line = ' ';
  for (const word of words) {
    if (line.length + word.length > 75) {
      text += `${line}\n`;
      line = ' ';
    }
    line += ` ${word}`;
  }
  return `${text}${line}\n`;
}

/** Models and features of `-cpu`, in the form of QEMU's list. */
export function cpus(): string {
  const models = cpuModelList().map(([name, about]) => `x86 ${name.padEnd(26)}${about}`.trimEnd());
  const features = [...FEATURE_BITS.keys()].sort();
  const known = [...NOT_IMPLEMENTED].filter((name) => !FEATURE_BITS.has(name)).sort();
  return [
    `Available CPUs:\n${models.join('\n')}\n`,
    `Recognized CPUID flags:\n${wrapped(features)}`,
    `Known and not implemented (a model goes without them):\n${wrapped(known)}`,
  ].join('\n');
}

export function firmwareDirectories(): string {
  return SYSTEM_DIRECTORIES.map((dir) => `${dir}\n`).join('');
}

export function usage(architecture: Architecture): string {
  return `${version()}usage: lyrebird-system-${architecture} [options]

Options are QEMU's; one dash or two.

Machine
  -machine pc[,hpet=on|off][,acpi=on|off][,smm=on|off][,usb=on|off]   the board (-M; "help" lists)
  -cpu MODEL[,+FEATURE][,-FEATURE]          the processor ("help" lists)
  -m SIZE[k|M|G]                            memory, 128 MiB if not given
  -smp N[,sockets=S,cores=C,threads=T]      number of processors (default 1)
  -accel tcg[,tier=auto|interp|jit]         how guest code is executed: translated, or
  -accel kvm[,kernel-irqchip=on|split|off]  by the host's processor (-enable-kvm); repeated, or kvm:tcg: the first that works
  -rtc [base=utc|localtime|DATE][,clock=host|vm]
  -device DRIVER[,PROPERTY=VALUE]           a device ("help" lists)
  -global DRIVER.PROPERTY=VALUE             a default of a device's property
  -name TEXT                                a name for the machine
  -nodefaults                               no serial port and monitor unless asked for

Boot
  -kernel FILE      Linux bzImage, ELF kernel with a PVH entry, or multiboot kernel
  -initrd FILE      its initial RAM disk (multiboot: FILE[ ARGS],FILE[ ARGS]…)
  -append TEXT      its command line
  -bios FILE        firmware: a ROM image that ends at 4 GiB (default without -kernel: SeaBIOS of the host's packages)
  -pflash FILE      firmware in flash memory; the second holds its variables (also -drive if=pflash,unit=N)
  -L DIR            look here first for firmware and option ROMs ("help" lists the directories)
  -boot [order=]LETTERS[,once=LETTERS][,menu=on][,splash-time=MS][,reboot-timeout=MS][,strict=on]
                    what firmware tries: a, b floppies, c disk, d CD-ROM

Drives
  -drive [file=FILE][,format=raw|qcow2|…][,if=ide|scsi|virtio|floppy|none][,index=N|,bus=N,unit=N][,media=disk|cdrom]
         [,id=ID][,readonly=on][,snapshot=on][,cache=writeback|none|writethrough|directsync|unsafe]
         [,discard=ignore|unmap][,detect-zeroes=off|on|unmap][,werror=report|ignore|stop|enospc][,rerror=…]
         [,throttling.bps-total=N][,throttling.iops-total=N][,…]
  -fsdev local,id=ID,path=DIR,security_model=none|passthrough|mapped-xattr|mapped-file[,readonly=on]   a folder for virtio-9p-pci
  -virtfs local,path=DIR,mount_tag=TAG,security_model=…   the same, with its device
  -blockdev driver=DRIVER,node-name=NAME[,…]  a node of the block graph (also as JSON), for -device …,drive=NAME
  -hda FILE … -hdd FILE, -cdrom FILE, -fda FILE, -fdb FILE
  -snapshot         writes go to temporary images

Console
  -nographic        serial port and monitor on the terminal (Ctrl-A H for help, Ctrl-A X quits)
  -display none     no display
  -vga std|none     the display adapter (screendump in the monitor saves its picture; default std where firmware starts)
  -serial DEV       a serial port: stdio, mon:stdio, pty, null, none, file:PATH, unix:PATH[,server=on,wait=off],
                    tcp:HOST:PORT[,server=on,wait=off], telnet:HOST:PORT[,…], chardev:ID
  -monitor DEV      the monitor, likewise
  -chardev KIND,id=ID[,mux=on][,…]          a character device by name (stdio, file, socket, pty, null)
  -mon chardev=ID   the monitor on a -chardev
  -debugcon DEV     the debug port 0xe9
  -audiodev wav,id=ID,path=FILE[,out.frequency=HZ]   where a sound card (-device AC97,audiodev=ID) plays; or none

Running
  -S                do not start before "cont" is given to the monitor
  -no-reboot        a reset ends the emulator
  -no-shutdown      a power-off stops the machine but does not end the emulator
  -d ITEM[,ITEM]    log these ("help" lists) to standard error, or
  -D FILE           to a file
  -pidfile FILE     write the process id to a file
  -version, -help
`;
}

export const LYREBIRD_USAGE = `usage: lyrebird selftest            run a small guest of our own and show what it sees
       lyrebird host check [--json]         can this machine run guests under KVM, and if not, why?
       lyrebird kernel check FILE [--json]  can this Linux kernel be a KVM guest, or a host?
       lyrebird x86_64 [options]    as lyrebird-system-x86_64
       lyrebird i386 [options]      as lyrebird-system-i386
       lyrebird --version | --help

"lyrebird x86_64 -help" lists the options of a machine.
`;
