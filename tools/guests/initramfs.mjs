// The test guests' initramfs: a static busybox and an /init that ends in a shell on the console.

import { gzipSync } from 'node:zlib';
import { writeCpio } from './cpio.mjs';

/** What the guest's shell prints when it is ready for a command. */
export const PROMPT = 'lyrebird# ';

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/root TERM=vt100
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts 2>/dev/null
hostname lyrebird
echo
echo "Linux $(uname -r) on $(uname -m): up after $(cut -d' ' -f1 /proc/uptime) s"
export PS1='${PROMPT}'
setsid cttyhack sh
poweroff -f
`;

const dir = (path) => ({ path, type: 'dir', mode: 0o755 });

/** Builds the gzip-compressed archive around `busybox`, the bytes of a statically linked busybox. */
export function buildInitramfs(busybox) {
  const archive = writeCpio([
    ...['bin', 'sbin', 'usr', 'usr/bin', 'usr/sbin', 'dev', 'proc', 'sys', 'tmp', 'root', 'etc'].map(dir),
    { path: 'dev/console', type: 'char', mode: 0o600, rdev: [5, 1] },
    { path: 'dev/null', type: 'char', mode: 0o666, rdev: [1, 3] },
    { path: 'bin/busybox', type: 'file', mode: 0o755, data: busybox },
    { path: 'init', type: 'file', mode: 0o755, data: INIT },
  ]);
  return gzipSync(archive, { level: 9 });
}
