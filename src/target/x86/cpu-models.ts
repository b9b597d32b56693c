/** CPU models of `-cpu`, by the names users know from QEMU. */
import { UserError } from '../../util/errors.ts';
import { FEATURE_BITS, featureName } from './cpu-features.ts';
import { NOT_IMPLEMENTED, WITH_ARCH_CAPABILITIES } from './cpu-known-features.ts';
import { type CpuVendor, MODEL_ROWS, type ModelRow, type ModelVersion } from './cpu-model-table.ts';

export interface CpuModel {
  readonly name: string;
  readonly vendor: CpuVendor;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** Highest basic and extended leaf. */
  readonly level: number;
  readonly xlevel: number;
  readonly brand: string;
  readonly physicalBits: number;
  readonly features: ReadonlySet<string>;
  /** What the model or the user asked for and is not implemented. */
  readonly missing: readonly string[];
}

/**
 * What the platform gives every 64-bit model. Timers that need no calibration, and the news that no work-around for speculative
 * execution is needed: kernels then leave out retpolines and page-table isolation. REP MOVSB is as fast as any other copy.
 */
const PLATFORM = [
  'hypervisor',
  'x2apic',
  'tsc-deadline',
  'arat',
  'invtsc',
  'tsc-adjust',
  'spec-ctrl',
  'arch-capabilities',
  'erms',
];
/** Intel models tell the frequency of the TSC in leaves 15H and 16H. */
const INTEL_LEVEL = 0x16;
/** Words a model does not get by itself: it would gain nothing and cost speed. */
const NOT_IN_MAX = new Set(['pcid', 'cr8legacy', 'ss', 'ht', 'monitor']);

/** A model before options: the features are names as users write them. */
type Named = Omit<CpuModel, 'missing'>;

function finish(row: ModelRow, name: string, version: ModelVersion, features: Set<string>): Named {
  const long = features.has('lm');
  const modern = long && row.vendor === 'GenuineIntel' && row.level >= 4;
  return {
    name,
    vendor: row.vendor,
    family: row.family,
    model: version.model ?? row.model,
    stepping: version.stepping ?? row.stepping,
    level: modern ? Math.max(row.level, INTEL_LEVEL) : row.level,
    xlevel: row.xlevel,
    brand: version.brand ?? row.brand,
    physicalBits: long ? 40 : features.has('pse36') || features.has('pae') ? 36 : 32,
    features: new Set([...features, ...(long ? PLATFORM : ['hypervisor'])]),
  };
}

/** Applies `+a -b …`. */
function change(features: ReadonlySet<string>, text: string): Set<string> {
  const out = new Set(features);
  for (const word of text.split(' ')) {
    if (word.startsWith('-')) out.delete(word.slice(1));
    else if (word) out.add(word.slice(1));
  }
  return out;
}

function allModels(): Map<string, Named> {
  const models = new Map<string, Named>();
  for (const row of MODEL_ROWS) {
    let version: ModelVersion = { change: '' };
    let features: Set<string> = new Set(row.features.join(' ').split(' '));
    models.set(row.name, finish(row, row.name, version, features));
    if (!row.name.startsWith('x86-64-'))
      models.set(`${row.name}-v1`, finish(row, row.name, version, features));
    row.versions?.forEach((next, i) => {
      version = { ...version, ...next };
      features = change(features, next.change);
      const model = finish(row, row.name, version, features);
      models.set(`${row.name}-v${i + 2}`, model);
      if (next.alias !== undefined) models.set(next.alias, model);
    });
  }
  const generic = models.get('qemu64')!;
  const all = [...FEATURE_BITS.keys()].filter((name) => !NOT_IN_MAX.has(name));
  models.set('max', { ...generic, name: 'max', brand: 'Lyrebird TCG CPU', features: new Set(all) });
  return models;
}

let cachedModels: Map<string, Named> | undefined;
function models(): Map<string, Named> {
  return (cachedModels ??= allModels());
}

/** Features that are meaningless without another one: dropped with it. */
const NEEDS: Readonly<Record<string, string>> = {
  sse: 'fxsr',
  sse2: 'sse',
  sse3: 'sse2',
  ssse3: 'sse3',
  'sse4.1': 'ssse3',
  'sse4.2': 'sse4.1',
  aes: 'sse2',
  pclmulqdq: 'sse2',
  'sha-ni': 'sse2',
  gfni: 'sse2',
  xsave: 'fxsr',
  xsaveopt: 'xsave',
  xsavec: 'xsave',
  xgetbv1: 'xsave',
  xsaves: 'xsavec',
  avx: 'xsave',
  avx2: 'avx',
  fma: 'avx',
  f16c: 'avx',
  vaes: 'avx',
  vpclmulqdq: 'avx',
  lm: 'pae',
  syscall: 'lm',
  la57: 'lm',
  nx: 'pae',
  'lahf-lm': 'lm',
  x2apic: 'apic',
  'tsc-deadline': 'apic',
  fsgsbase: 'lm',
  cx16: 'cx8',
  pcid: 'lm',
  pku: 'lm',
  pks: 'lm',
  pdpe1gb: 'lm',
  rdtscp: 'tsc',
};

/** Names `parseCpu` takes. */
export function cpuModelNames(): readonly string[] {
  return [...models().keys()];
}

/** Names with what each is, for `-cpu help`. */
export function cpuModelList(): readonly (readonly [string, string])[] {
  return [...models()]
    .map(([name, model]) => [name, model.brand] as const)
    .sort((a, b) => (a[0].toLowerCase() < b[0].toLowerCase() ? -1 : 1));
}

/** A model while options are applied. */
interface Draft {
  model: Named;
  features: Set<string>;
  /** Asked for and known, but not implemented. */
  missing: Set<string>;
  check: boolean;
  enforce: boolean;
}

/**
 * `model[,+feature][,-feature][,feature=on|off][,property=value]…` as QEMU's `-cpu` takes it. `long`: the machine has 64-bit mode
 * (false removes it). Throws a UserError (`cpu-model`, `cpu-feature`, `cpu-property`, `cpu-enforce`).
 */
export function parseCpu(text: string, long = true): CpuModel {
  const [name = '', ...options] = text.split(',');
  const base = models().get(name);
  if (!base) throw new UserError('cpu-model', `unknown CPU model '${name}' ("-cpu help" lists them)`);
  const draft: Draft = { model: base, features: new Set(), missing: new Set(), check: true, enforce: false };
  for (const feature of base.features) addFeature(draft, feature);
  for (const option of options) applyOption(draft, option);
  const { features, missing } = draft;
  if (!long) features.delete('lm');
  dropOrphans(features);
  if (draft.enforce && missing.size > 0)
    throw new UserError('cpu-enforce', `features that are not implemented: ${[...missing].join(', ')}`);
  return { ...draft.model, features, missing: draft.check ? [...missing] : [] };
}

/** A feature by its known name; false if nobody knows it. */
function addFeature(draft: Draft, text: string): boolean {
  const name = featureName(text);
  if (name !== undefined) {
    draft.features.add(name);
    draft.missing.delete(name);
    return true;
  }
  const known = name ?? text.replaceAll('_', '-');
  if (WITH_ARCH_CAPABILITIES.has(known)) return true;
  if (name === undefined && !NOT_IMPLEMENTED.has(known)) return false;
  draft.missing.add(known);
  return true;
}

function removeFeature(draft: Draft, text: string): boolean {
  const known = featureName(text) ?? text.replaceAll('_', '-');
  const had = draft.features.delete(known) || draft.missing.delete(known);
  return had || FEATURE_BITS.has(known) || NOT_IMPLEMENTED.has(known) || WITH_ARCH_CAPABILITIES.has(known);
}

/** Properties with a value: how they change the model. */
const PROPERTIES: Readonly<Record<string, (model: Named, value: string) => Partial<Named>>> = {
  family: (_model, value) => ({ family: natural('family', value, 0x10e) }),
  model: (_model, value) => ({ model: natural('model', value, 0xff) }),
  stepping: (_model, value) => ({ stepping: natural('stepping', value, 15) }),
  level: (_model, value) => ({ level: natural('level', value, 0xff) }),
  xlevel: (_model, value) => ({ xlevel: natural('xlevel', value, 0x8000_00ff) }),
  'phys-bits': (_model, value) => ({ physicalBits: natural('phys-bits', value, 52, 32) }),
  'model-id': (_model, value) => ({ brand: value.slice(0, 48) }),
  vendor: (_model, value) => ({ vendor: vendor(value) }),
};

function natural(name: string, value: string, max: number, min = 0): number {
  const n = /^(0x[\da-f]+|\d+)$/i.test(value) ? Number(value) : Number.NaN;
  if (!(n >= min && n <= max))
    throw new UserError('cpu-property', `${name}=${value}: not from ${min} to ${max}`);
  return n;
}

function vendor(value: string): CpuVendor {
  if (value === 'GenuineIntel' || value === 'AuthenticAMD' || value === 'HygonGenuine') return value;
  throw new UserError('cpu-property', `vendor=${value}: not GenuineIntel, AuthenticAMD or HygonGenuine`);
}

function applyOption(draft: Draft, option: string): void {
  const match = /^([+-]?)([\w.-]+)(?:=(.*))?$/.exec(option);
  if (!match) throw new UserError('cpu-feature', `unknown CPU feature '${option}'`);
  const [, sign = '', name = '', value] = match;
  const property = PROPERTIES[name];
  if (sign === '' && property && value !== undefined) {
    draft.model = { ...draft.model, ...property(draft.model, value) };
    return;
  }
  if (value !== undefined && (sign !== '' || !/^(on|off)$/.test(value)))
    throw new UserError('cpu-feature', `unknown CPU feature '${option}'`);
  const on = sign === '' ? value !== 'off' : sign === '+';
  if (name === 'check') draft.check = on;
  else if (name === 'enforce') draft.enforce = on;
  else if (!(on ? addFeature(draft, name) : removeFeature(draft, name)))
    throw new UserError('cpu-feature', `unknown CPU feature '${option}'`);
}

function dropOrphans(features: Set<string>): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const feature of features) {
      const needed = NEEDS[feature];
      if (needed !== undefined && !features.has(needed)) changed = features.delete(feature);
    }
  }
}
