/** Opens character devices by their specification. */
import { type CharStream, NullStream } from '../../../chardev/char-stream.ts';
import type { CharSpec } from '../../../chardev/spec.ts';
import { AssertionError } from '../../../util/errors.ts';

export interface OpenOptions {
  /** Named in messages: "-serial file:x". */
  readonly option: string;
  /** What Ctrl-C does on `stdio` if the specification does not say. */
  readonly signal: boolean;
  /** Tells the user something (the name of a pty). */
  readonly inform: (text: string) => void;
}

/** `UserError` when the device cannot be had. Modules of the kinds not used are not loaded. */
export async function openCharStream(spec: CharSpec, options: OpenOptions): Promise<CharStream> {
  const { option } = options;
  switch (spec.kind) {
    case 'null':
      return new NullStream();
    case 'stdio': {
      const { StdioStream } = await import('./stdio.ts');
      return new StdioStream({ signal: spec.signal ?? options.signal });
    }
    case 'file': {
      const { FileStream } = await import('./file.ts');
      return new FileStream(spec.path, spec.append, option);
    }
    case 'pty': {
      const { PtyStream } = await import('./pty.ts');
      const stream = new PtyStream(option);
      options.inform(`char device redirected to ${stream.path} (${option})`);
      return stream;
    }
    case 'socket': {
      const { SocketStream } = await import('./socket.ts');
      const { path, ...rest } = spec;
      return SocketStream.open({ ...rest, ...(path === undefined ? {} : { path }), option });
    }
    case 'none':
    case 'chardev':
      throw new AssertionError(`cannot open a character device of the kind "${spec.kind}"`);
  }
}
