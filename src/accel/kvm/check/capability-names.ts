/** Capabilities of KVM by name, for reports. */
import * as kvm from '../bindings/common.ts';
import * as x86 from '../bindings/x86.ts';

/** Every KVM_CAP_* that the bindings know, without the prefix. */
export function capabilityNumbers(): ReadonlyMap<string, number> {
  const out = new Map<string, number>();
  for (const [name, value] of Object.entries({ ...kvm, ...x86 })) {
    if (name.startsWith('KVM_CAP_') && typeof value === 'number')
      out.set(name.slice('KVM_CAP_'.length), value);
  }
  return out;
}
