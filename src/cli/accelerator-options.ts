/** `-accel`, `-enable-kvm` and what `-machine` says of accelerators. */
import type { AcceleratorConfig } from '../system/config.ts';
import { UserError } from '../util/errors.ts';
import { OptionList } from '../util/option-list.ts';

export const ACCELERATOR_NAMES: readonly string[] = ['tcg', 'kvm', 'qtest'];
const IRQCHIP = ['on', 'split', 'off'] as const;
type Irqchip = (typeof IRQCHIP)[number];

const TCG: AcceleratorConfig = { kind: 'tcg', tier: 'auto' };

/** Accelerators in the order in which they are tried. */
export class AcceleratorOptions {
  readonly #given: AcceleratorConfig[] = [];
  #fromMachine: readonly AcceleratorConfig[] = [];
  #irqchip: Irqchip | undefined;

  /** The value of one `-accel`: a name (or `kvm:tcg`, several) and properties. */
  add(text: string, what: string): void {
    const options = new OptionList(text, what, 'accel');
    const names = (options.text('accel') ?? 'tcg').split(':');
    const irqchip = options.text('kernel-irqchip') ?? options.text('kernel_irqchip');
    const tier = options.choice('tier', ['auto', 'interp', 'jit'] as const, 'auto');
    options.choice('thread', ['single', 'multi'] as const, 'single');
    options.number('tb-size', 0);
    options.finish();
    const chosen = this.#irqchipOf(irqchip, what);
    for (const name of names) this.#given.push(accelerator(name, what, tier, chosen));
  }

  /** `-machine accel=kvm:tcg`. */
  machineChoice(text: string, what: string): void {
    this.#fromMachine = text.split(':').map((name) => accelerator(name, what, 'auto', undefined));
  }

  /** `-machine kernel-irqchip=on|split|off`. */
  setIrqchip(text: string, what: string): void {
    this.#irqchip = this.#irqchipOf(text, what);
  }

  /** What was asked for; the same accelerator twice is the last one's properties. */
  finish(fallback: 'tcg' | 'kvm'): AcceleratorConfig[] {
    const all = [...this.#fromMachine, ...this.#given];
    const asked =
      all.length > 0 ? all : [fallback === 'tcg' ? TCG : accelerator('kvm', '', 'auto', undefined)];
    const byKind = new Map(asked.map((config) => [config.kind, config]));
    return [...byKind.values()].map((config) =>
      config.kind === 'kvm' && this.#irqchip !== undefined ? { ...config, irqchip: this.#irqchip } : config,
    );
  }

  #irqchipOf(text: string | undefined, what: string): Irqchip | undefined {
    if (text === undefined) return undefined;
    const found = IRQCHIP.find((name) => name === text);
    if (found === undefined) throw new UserError('BadOption', `${what}: kernel-irqchip is on, split or off`);
    return found;
  }
}

function accelerator(
  name: string,
  what: string,
  tier: 'auto' | 'interp' | 'jit',
  irqchip: Irqchip | undefined,
): AcceleratorConfig {
  if (name === 'tcg') return { kind: 'tcg', tier };
  if (name === 'kvm') return { kind: 'kvm', irqchip: irqchip ?? 'on' };
  if (name === 'qtest') return { kind: 'qtest' };
  throw new UserError(
    'UnknownAccelerator',
    `${what}: unknown accelerator "${name}" (-accel help lists them)`,
  );
}
