/** TAP devices of Linux (`/dev/net/tun`) through koffi, or through a descriptor that the caller opened. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, read, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { MAX_FRAME_BYTES } from '../../../core/net-backend.ts';
import type { HostTap, TapOptions } from '../../../net/host.ts';

const TUNSETIFF = 0x400454ca;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** Throws with a reason that names what is missing. */
export function openTap(options: TapOptions, received: (frame: Uint8Array) => void): HostTap {
  if (options.fd !== undefined) return startTap(options.fd, `fd=${options.fd}`, received, () => {});
  const fd = openSync('/dev/net/tun', 'r+');
  const name = createInterface(fd, options.ifname ?? 'tap%d');
  runScript(options.script, name);
  return startTap(fd, name, received, () => runScript(options.downscript, name));
}

function createInterface(fd: number, ifname: string): string {
  const ioctl = loadIoctl();
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(ifname.slice(0, IFNAMSIZ - 1), 0, 'latin1');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI, IFNAMSIZ);
  if (ioctl(fd, TUNSETIFF, request) < 0) {
    closeSync(fd);
    throw new Error(
      `could not configure /dev/net/tun (${ifname}): permission is missing or the device is busy`,
    );
  }
  return request.toString('latin1', 0, IFNAMSIZ).replace(/\0.*$/s, '');
}

function loadIoctl(): (fd: number, request: number, argument: Buffer) => number {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as {
      load(path: string | null): { func(prototype: string): (...args: unknown[]) => number };
    };
    return koffi.load(null).func('int ioctl(int, unsigned long, void *)');
  } catch {
    throw new Error('a tap by name needs the package koffi; pass a descriptor with fd= instead');
  }
}

/** `no`: none. */
function runScript(script: string | undefined, name: string): void {
  if (script === undefined || script === 'no' || script === '') return;
  const { status, error } = spawnSync(script, [name], { stdio: 'inherit' });
  if (status !== 0)
    throw new Error(`network script ${script} failed: ${error?.message ?? `status ${status}`}`);
}

function startTap(
  fd: number,
  name: string,
  received: (frame: Uint8Array) => void,
  down: () => void,
): HostTap {
  let isOpen = true;
  // A read waits in the thread pool; one is under way at any time.
  const buffer = Buffer.alloc(MAX_FRAME_BYTES);
  const next = (): void => {
    read(fd, buffer, 0, buffer.length, null, (error, count) => {
      if (!isOpen) return;
      if (error === null && count > 0) received(Uint8Array.from(buffer.subarray(0, count)));
      if (error === null || error.code === 'EAGAIN' || error.code === 'EINTR')
        if (error === null) next();
        else setTimeout(next, 1);
    });
  };
  next();
  return {
    name,
    write(frame) {
      try {
        writeSync(fd, frame);
        return true;
      } catch {
        return false;
      }
    },
    close() {
      isOpen = false;
      try {
        down();
        closeSync(fd);
      } catch {
        // It went before us.
      }
    },
  };
}
