/** Echo requests through Linux's unprivileged ICMP sockets (`net.ipv4.ping_group_range`), which Node does not offer. */
import { createRequire } from 'node:module';
import { isIP } from 'node:net';
import { parseIp } from '../../../net/user/address.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const TIMEOUT_MS = 1000;
const MAX_PAYLOAD = 1472;

type Native = (...args: unknown[]) => number;

interface PingCalls {
  readonly socket: Native;
  readonly sendto: Native;
  readonly recv: Native;
  readonly close: Native;
}

let calls: PingCalls | undefined | null = null;

function load(): PingCalls | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as {
      load(path: string | null): { func(prototype: string): Native };
    };
    const lib = koffi.load(null);
    return {
      socket: lib.func('int socket(int, int, int)'),
      sendto: lib.func('int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)'),
      recv: lib.func('int64_t recv(int, void *, size_t, int)'),
      close: lib.func('int close(int)'),
    };
  } catch {
    return undefined;
  }
}

/** Undefined: not possible here. */
export function ping(address: string, payload: Uint8Array): Promise<boolean> | undefined {
  calls = calls === null ? load() : calls;
  const bytes = parseIp(address);
  if (calls === undefined || bytes === undefined || isIP(address) === 0) return undefined;
  const is4 = bytes.length === 4;
  const fd = calls.socket(
    is4 ? AF_INET : AF_INET6,
    SOCK_DGRAM | SOCK_NONBLOCK,
    is4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
  );
  if (fd < 0) return undefined;
  const { sendto, recv, close } = calls;
  const target = Buffer.alloc(is4 ? 16 : 28);
  target.writeUInt16LE(is4 ? AF_INET : AF_INET6, 0);
  target.set(bytes, is4 ? 4 : 8);
  const message = Buffer.alloc(8 + Math.min(payload.length, MAX_PAYLOAD));
  message[0] = is4 ? 8 : 128;
  message.set(payload.subarray(0, MAX_PAYLOAD), 8);
  if (Number(sendto(fd, message, message.length, 0, target, target.length)) < 0) {
    close(fd);
    return Promise.resolve(false);
  }
  return waitForReply(
    () => Number(recv(fd, Buffer.alloc(2048), 2048, 0)) > 0,
    () => close(fd),
  );
}

function waitForReply(look: () => boolean, end: () => void): Promise<boolean> {
  return new Promise((resolve) => {
    const started = Date.now();
    const step = (delay: number): void => {
      const found = look();
      if (found || Date.now() - started > TIMEOUT_MS) {
        end();
        resolve(found);
      } else setTimeout(() => step(Math.min(delay * 2, 50)), delay);
    };
    step(1);
  });
}
