/** The block layer's host on Node: files, sockets, HTTP, compression. */
import { randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, resolve } from 'node:path';
import { BlockError, EIO } from '../../../block/block-node.ts';
import type {
  BlockHost,
  Codec,
  HostFile,
  HostStream,
  HttpResponse,
  OpenFileOptions,
  StreamAddress,
} from '../../../block/host.ts';
import { createCodec } from './node-codec.ts';
import { openNodeFile } from './node-file.ts';

export class NodeBlockHost implements BlockHost {
  readonly codec: Codec = createCodec();

  async openFile(path: string, options: OpenFileOptions): Promise<HostFile> {
    return openNodeFile(path, options);
  }

  /** In TMPDIR, else in /var/tmp as QEMU does: an overlay may grow beyond what /tmp holds. */
  async openTemporary(): Promise<HostFile> {
    const directory = process.env['TMPDIR'] ?? (fs.existsSync('/var/tmp') ? '/var/tmp' : tmpdir());
    const made = fs.mkdtempSync(`${directory}/lyrebird-`);
    const path = `${made}/overlay`;
    const file = openNodeFile(path, { isReadOnly: false, create: true, locking: 'off' });
    if (process.platform === 'win32') file.deleteOnClose();
    else fs.rmSync(made, { recursive: true, force: true });
    return file;
  }

  async deleteFile(path: string): Promise<void> {
    fs.rmSync(path, { force: true });
  }

  exists(path: string): boolean {
    return fs.existsSync(path);
  }

  resolvePath(base: string, path: string): string {
    return resolve(dirname(base), path) === path ? path : joinRelative(base, path);
  }

  baseName(path: string): string {
    return basename(path);
  }

  async connect(address: StreamAddress): Promise<HostStream> {
    const { connectStream } = await import('./node-stream.ts');
    return connectStream(address);
  }

  async request(
    method: 'GET' | 'HEAD',
    url: string,
    headers: Readonly<Record<string, string>>,
  ): Promise<HttpResponse> {
    try {
      const response = await fetch(url, { method, headers, redirect: 'follow' });
      return {
        status: response.status,
        header: (name) => response.headers.get(name) ?? undefined,
        bytes: (limit) => readBody(response, limit),
      };
    } catch (error) {
      const cause = (error as Error).cause as Error | undefined;
      throw new BlockError(EIO, `${url}: ${cause?.message ?? (error as Error).message}`);
    }
  }

  nowMs(): number {
    return performance.now();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((done) => setTimeout(done, ms));
  }

  randomBytes(into: Uint8Array): void {
    randomFillSync(into);
  }
}

/** Relative to the image's folder, spelled as the user spelled that. */
function joinRelative(base: string, path: string): string {
  const slash = base.lastIndexOf('/');
  if (path.startsWith('/') || slash < 0) return path;
  return base.slice(0, slash + 1) + path;
}

async function readBody(response: Response, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let total = 0;
  const body = response.body;
  if (body === null) return new Uint8Array();
  for await (const part of body as unknown as AsyncIterable<Uint8Array>) {
    total += part.length;
    if (total > limit) throw new BlockError(EIO, 'the server sent more than was asked for');
    parts.push(part);
  }
  return Buffer.concat(parts);
}
