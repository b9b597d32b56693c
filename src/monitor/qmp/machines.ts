/** `query-machines`. */
import type { Json } from './json.ts';

export function machineList(): Json {
  return [
    {
      name: 'pc-i440fx-7.2',
      alias: 'pc',
      'is-default': true,
      'cpu-max': 1,
      'hotpluggable-cpus': true,
      'numa-mem-supported': true,
      deprecated: false,
      'default-cpu-type': 'qemu64-x86_64-cpu',
      'default-ram-id': 'pc.ram',
    },
    {
      name: 'none',
      'cpu-max': 1,
      'hotpluggable-cpus': false,
      'numa-mem-supported': false,
      deprecated: false,
      'default-ram-id': 'ram',
    },
  ];
}
