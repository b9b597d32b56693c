/** Files that monitor commands write. */
import { writeFile } from 'node:fs/promises';
import { deflateSync } from 'node:zlib';
import { UserError } from '../../util/errors.ts';
import { errorReason } from './error-reason.ts';

export const nodeMonitorFiles = {
  async write(path: string, bytes: Uint8Array): Promise<void> {
    try {
      await writeFile(path, bytes);
    } catch (error) {
      throw new UserError('FileOpenFailed', `${path}: ${errorReason(error)}`);
    }
  },
  deflate: (bytes: Uint8Array): Uint8Array => deflateSync(bytes),
};
