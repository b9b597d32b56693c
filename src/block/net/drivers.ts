import type { DriverDefinition, OpenContext } from '../driver.ts';
import type { StreamAddress } from '../host.ts';
import { NodeOptionReader, type NodeOptions } from '../node-options.ts';
import { HttpNode } from './http-node.ts';
import { NbdNode } from './nbd-node.ts';

function http(name: string): DriverDefinition {
  return {
    name,
    kind: 'protocol',
    async open({ host, options }) {
      const url = options.required('url');
      const cookie = options.text('cookie');
      const user = options.text('username');
      options.text('timeout');
      options.flag('sslverify', true);
      const readAheadBytes = options.size('readahead');
      if (user !== undefined)
        throw options.error('"username" is not supported: put credentials into the url');
      return HttpNode.open(host, { url, headers: cookie === undefined ? {} : { cookie }, readAheadBytes });
    },
  };
}

function addressOf({ options }: OpenContext): StreamAddress {
  const given = options.child('server');
  const reader =
    typeof given === 'object' && given !== null
      ? new NodeOptionReader(given as NodeOptions, options.what)
      : new NodeOptionReader(
          { host: options.text('host'), port: options.text('port'), path: options.text('path') },
          options.what,
        );
  const type = reader.text('type') ?? (reader.has('path') ? 'unix' : 'inet');
  if (type === 'unix') return { type, path: reader.required('path') };
  if (type !== 'inet') throw options.error(`server type "${type}" is not supported`);
  return { type, host: reader.text('host') ?? 'localhost', port: Number(reader.text('port') ?? 10809) };
}

const NBD: DriverDefinition = {
  name: 'nbd',
  kind: 'protocol',
  open(context) {
    const address = addressOf(context);
    const name = context.options.text('export') ?? '';
    context.options.text('reconnect-delay');
    context.options.text('open-timeout');
    return NbdNode.open(context.host, address, name, context.common.isReadOnly);
  },
};

export const NETWORK_DRIVERS: readonly DriverDefinition[] = [http('http'), http('https'), NBD];
