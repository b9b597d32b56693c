/** What `-cpu` says besides the model: `host`, `enforce`, `check`. */

export interface CpuOption {
  /** For `parseCpu`. With `host` it is `max` with the same features. */
  readonly model: string;
  /** `host`: the accelerator offers what the host has. */
  readonly isHost: boolean;
  /** `kvm=off`: the guest is not told that this is KVM, and so uses none of its paravirtual clocks and calls. */
  readonly hideKvm: boolean;
  /** A feature that the accelerator cannot give is an error rather than a warning. */
  readonly enforce: boolean;
}

/** Words that ask for what is the case anyway. */
const HARMLESS =
  /^(check(=on)?|migratable=(on|off)|host-phys-bits=on|kvm=(on|off)|l3-cache=(on|off)|apic-id=0)$/;

export function parseCpuOption(text: string): CpuOption {
  const [name = '', ...options] = text.split(',');
  const isHost = name === 'host';
  const enforce = options.some((option) => option === 'enforce' || option === 'enforce=on');
  const kept = options.filter((option) => !/^enforce(=(on|off))?$/.test(option) && !HARMLESS.test(option));
  const hideKvm = options.includes('kvm=off');
  return { hideKvm, model: [isHost ? 'max' : name, ...kept].join(','), isHost, enforce };
}
