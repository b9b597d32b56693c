// CPU time and resident memory of a process and its children, from /proc (proc(5)).

import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100; // USER_HZ on every Linux that Node.js supports

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has gone
  }
}

/** The fields of /proc/PID/stat from the third on. */
function statFields(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** `pid` and all its descendants. */
function tree(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const child = Number(name);
    if (!Number.isInteger(child)) continue;
    const parent = Number(statFields(child)[1]);
    children.set(parent, [...(children.get(parent) ?? []), child]);
  }
  const found = [pid];
  for (const each of found) found.push(...(children.get(each) ?? []));
  return found;
}

/** CPU seconds, user and system, that the tree below `pid` has used so far. */
export function cpuSeconds(pid: number): number {
  const ticks = tree(pid).map((each) => {
    const fields = statFields(each);
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
}

/** Resident memory of the tree below `pid` in bytes. */
export function residentBytes(pid: number): number {
  const sizes = tree(pid).map((each) =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${each}/status`))?.[1] ?? 0),
  );
  return sizes.reduce((sum, each) => sum + each, 0) * 1024;
}

/**
 * Resident bytes of the mapping of exactly `sizeBytes`, which in QEMU is the guest's RAM: what the guest has touched.
 * Undefined where there is no such mapping.
 */
export function residentOfMapping(pid: number, sizeBytes: number): number | undefined {
  for (const mapping of read(`/proc/${pid}/smaps`).split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    if (Number(/^Size:\s+(\d+) kB/m.exec(mapping)?.[1]) * 1024 !== sizeBytes) continue;
    return Number(/^Rss:\s+(\d+) kB/m.exec(mapping)?.[1]) * 1024;
  }
  return undefined;
}
