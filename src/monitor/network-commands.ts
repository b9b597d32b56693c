/** Monitor commands about the network. */

import type { NetPort } from '../system/machine-client.ts';
import { UserError } from '../util/errors.ts';
import type { MonitorCommand as Command, MonitorContext } from './commands.ts';

interface Nic {
  readonly name: string;
  readonly model: string;
  readonly mac: string;
  readonly netdev: string | null;
}

export const networkCommands: Readonly<Record<string, Command>> = {
  hostfwd_add: {
    args: '[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport',
    about: 'forward a port of the host to the guest',
    run: async (c, args) => {
      const [netdev, rule] = split(args);
      await port(c).addForward(netdev, rule);
      return '';
    },
  },
  hostfwd_remove: {
    args: '[netdev_id] [tcp|udp]:[hostaddr]:hostport',
    about: 'end the forwarding of a port',
    run: async (c, args) => {
      const [netdev, rule] = split(args);
      const removed = await port(c).removeForward(netdev, rule);
      return removed
        ? `host forwarding rule for ${rule} removed`
        : `host forwarding rule for ${rule} not found`;
    },
  },
  set_link: {
    args: 'name on|off',
    about: 'plug or unplug the cable of a network card',
    run: async (c, args) => {
      const match = /^(\S+)\s+(on|off)$/.exec(args);
      if (match === null) throw new UserError('BadArgument', 'set_link: a name and on or off are needed');
      await c.machine.request('control', {
        command: 'set_link',
        args: { name: match[1], up: match[2] === 'on' },
      });
      return '';
    },
  },
};

export const networkTopics: Readonly<Record<string, (context: MonitorContext) => Promise<string>>> = {
  network: describeNetwork,
  usernet: async (c) => (c.machine.net === undefined ? '' : (await c.machine.net.connections()).trimEnd()),
};

function split(args: string): [netdev: string | undefined, rule: string] {
  const words = args.split(/\s+/);
  return words.length > 1 ? [words[0], words[1]!] : [undefined, args];
}

function port(c: MonitorContext): NetPort {
  if (c.machine.net === undefined) throw new UserError('GenericError', 'user mode network stack not in use');
  return c.machine.net;
}

/** Hubs, then cards with their back ends, then what is left. */
async function describeNetwork(c: MonitorContext): Promise<string> {
  const nics = (await c.machine.request('control', { command: 'x-nics', args: {} })) as Nic[];
  const { netdevs, hubs, filters } = (await c.machine.net?.describe()) ?? {
    netdevs: [],
    hubs: [],
    filters: [],
  };
  const textOf = new Map(netdevs.map(({ id, text }) => [id, text]));
  const shown = new Set<string>();
  const nicText = (nic: Nic): string => `${nic.name}: index=0,type=nic,model=${nic.model},macaddr=${nic.mac}`;
  const filterLines = (netdev: string): string[] =>
    filters.filter((f) => f.netdev === netdev).map((f) => `   - ${f.id}: type=${f.kind}`);
  const peerLine = (id: string): string => {
    shown.add(id);
    return ` \\ ${id}: index=0,type=${textOf.get(id) ?? 'none'}`;
  };
  const lines: string[] = [];
  for (const { number, ports } of hubs) {
    lines.push(`hub ${number}`);
    for (const { id, peer } of ports) {
      const nic = nics.find(({ netdev }) => netdev === id);
      shown.add(id);
      if (peer !== undefined) shown.add(peer);
      const at =
        nic !== undefined
          ? nicText(nic)
          : peer === undefined
            ? ''
            : `${peer}: index=0,type=${textOf.get(peer)}`;
      lines.push(` \\ ${id}: ${at}`);
    }
  }
  for (const nic of nics) {
    if (nic.netdev !== null && shown.has(nic.netdev)) continue;
    lines.push(nicText(nic));
    if (nic.netdev !== null) lines.push(peerLine(nic.netdev), ...filterLines(nic.netdev));
  }
  for (const { id, text } of netdevs) if (!shown.has(id)) lines.push(`${id}: index=0,type=${text}`);
  return lines.join('\n');
}
