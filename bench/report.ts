// Medians, ratios and the markdown table.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Sample } from './measure.ts';
import { WORKLOADS } from './workloads.ts';

/** The middle value, or the mean of the middle two; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Medians by measurement over several runs. */
export function medians(samples: readonly Sample[]): Map<string, number> {
  const names = new Set(samples.flatMap((sample) => [...sample.keys()]));
  return new Map(
    [...names].map((name) => [name, median(samples.flatMap((sample) => sample.get(name) ?? []))]),
  );
}

/** NaN of nothing. */
export const geometricMean = (ratios: readonly number[]): number =>
  Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);

export interface Row {
  readonly title: string;
  readonly ours: string;
  readonly reference: string;
  readonly ratio: string;
  readonly goal: string;
}

export const seconds = (value: number | undefined): string =>
  value === undefined ? '–' : `${value.toFixed(2)} s`;
const mebibytes = (value: number | undefined): string =>
  value === undefined ? '–' : `${Math.round(value / 2 ** 20)} MiB`;
const ratioOf = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a / b;
export const times = (value: number | undefined): string =>
  value === undefined ? '–' : `${value.toFixed(2)} ×`;

type Medians = ReadonlyMap<string, number>;

function timeRow(name: string, title: string, goal: string, ours: Medians, reference: Medians): Row[] {
  const [a, b] = [ours.get(name), reference.get(name)];
  if (a === undefined) return [];
  return [{ title, ours: seconds(a), reference: seconds(b), ratio: times(ratioOf(a, b)), goal }];
}

function meanRow(ours: Medians, reference: Medians): Row[] {
  const ratios = WORKLOADS.flatMap(({ name }) => ratioOf(ours.get(name), reference.get(name)) ?? []);
  if (ratios.length === 0) return [];
  const goal = '≤ 1.5 × (aim 0.8 ×)';
  const ratio = times(geometricMean(ratios));
  return [{ title: 'geometric mean of the five', ours: '', reference: '', ratio, goal }];
}

/** Resident memory less the guest RAM that was touched, which the reference's RAM mapping tells for both. */
function memoryRow(ours: Medians, reference: Medians): Row[] {
  const touched = reference.get('touched') ?? ours.get('touched');
  const resident = ours.get('resident');
  if (resident === undefined || touched === undefined) return [];
  const other = reference.get('resident');
  return [
    {
      title: `resident memory beyond the ${mebibytes(touched)} of guest RAM touched`,
      ours: mebibytes(resident - touched),
      reference: mebibytes(other === undefined ? undefined : other - touched),
      ratio: '',
      goal: '≤ 400 MiB (aim 200 MiB)',
    },
  ];
}

function idleRow(ours: Medians, reference: Medians): Row[] {
  const idle = ours.get('idle');
  if (idle === undefined) return [];
  const percent = (value: number | undefined): string =>
    value === undefined ? '–' : `${value.toFixed(1)} %`;
  const goal = '≤ 3 % of a core (aim 1 %)';
  return [
    {
      title: 'idle at the shell prompt',
      ours: percent(idle),
      reference: percent(reference.get('idle')),
      ratio: '',
      goal,
    },
  ];
}

/** The rows of the report in the order of the requirements. */
export function rows(ours: Medians, reference: Medians): Row[] {
  return [
    ...timeRow('boot', 'cloud kernel, process start to shell', '≤ 1.5 × (aim 1.0 ×)', ours, reference),
    ...WORKLOADS.flatMap(({ name, title }) => timeRow(name, title, '≤ 3 ×', ours, reference)),
    ...meanRow(ours, reference),
    ...idleRow(ours, reference),
    ...timeRow(
      'start',
      'process start to the first guest instruction',
      '≤ 0.6 s (aim 0.3 s)',
      ours,
      reference,
    ),
    ...memoryRow(ours, reference),
  ];
}

/** The rows as a markdown table. */
export function markdown(table: readonly Row[], ours: string, reference: string): string {
  const lines = table.map(
    (row) => `| ${row.title} | ${row.ours} | ${row.reference} | ${row.ratio} | ${row.goal} |`,
  );
  return [`| | ${ours} | ${reference} | ratio | required |`, '|---|---|---|---|---|', ...lines].join('\n');
}

/** Puts `section` into `file` between the markers of `key`, or at the end when they are not there yet. */
export function updateSection(file: string, key: string, section: string): void {
  const [begin, end] = [`<!-- bench:${key} -->`, `<!-- /bench:${key} -->`];
  const block = `${begin}\n${section}\n${end}`;
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '# Benchmarks\n';
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  const next =
    from >= 0 && to > from
      ? text.slice(0, from) + block + text.slice(to + end.length)
      : `${text.trimEnd()}\n\n${block}\n`;
  writeFileSync(file, next);
}
