/** Classes of registers, as the instruction table distinguishes them. */
export type RegClass = 'r8' | 'r16' | 'r32' | 'r64' | 'sreg' | 'cr' | 'dr' | 'st' | 'mm' | 'xmm' | 'ymm';

/** A register: its class and its number in the encoding. `high` marks AH…BH, `rex` marks SPL…DIL. */
export interface Register {
  readonly name: string;
  readonly cls: RegClass;
  readonly num: number;
  readonly high: boolean;
  readonly rex: boolean;
}

const byName = new Map<string, Register>();

function define(cls: RegClass, names: readonly string[], first = 0, flags: Partial<Register> = {}): void {
  names.forEach((name, i) => {
    byName.set(name, { name, cls, num: first + i, high: false, rex: false, ...flags });
  });
}

const numbered = (prefix: string, from: number, to: number, suffix = ''): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `${prefix}${from + i}${suffix}`);

function fill(): void {
  define('r8', ['al', 'cl', 'dl', 'bl']);
  define('r8', ['ah', 'ch', 'dh', 'bh'], 4, { high: true });
  define('r8', ['spl', 'bpl', 'sil', 'dil'], 4, { rex: true });
  define('r8', numbered('r', 8, 15, 'b'), 8);
  const words = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
  define('r16', [...words, ...numbered('r', 8, 15, 'w')]);
  define('r32', [...words.map((w) => `e${w}`), ...numbered('r', 8, 15, 'd')]);
  define('r64', [...words.map((w) => `r${w}`), ...numbered('r', 8, 15)]);
  define('sreg', ['es', 'cs', 'ss', 'ds', 'fs', 'gs']);
  define('cr', numbered('cr', 0, 15));
  define('dr', numbered('dr', 0, 15));
  define('st', numbered('st', 0, 7));
  define('mm', numbered('mm', 0, 7));
  define('xmm', numbered('xmm', 0, 15));
  define('ymm', numbered('ymm', 0, 15));
}

/** Looks up a register by its lower-case name. */
export function registerNamed(name: string): Register | undefined {
  if (byName.size === 0) fill();
  return byName.get(name);
}
