import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { X86_HELPERS } from './helpers.ts';

/** Parameter and result types of exported functions, from the module's type, function and export sections. */
function exportedSignatures(bytes: Uint8Array): Map<string, string> {
  let at = 8;
  const types: string[] = [];
  const functions: number[] = [];
  const out = new Map<string, string>();
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  };
  const name = (): string => {
    const length = leb();
    at += length;
    return new TextDecoder().decode(bytes.subarray(at - length, at));
  };
  const valueTypes = (): string => {
    const count = leb();
    at += count;
    return [...bytes.subarray(at - count, at)]
      .map((t) => ({ 0x7f: 'i32', 0x7e: 'i64', 0x7d: 'f32', 0x7c: 'f64' })[t] ?? '?')
      .join(',');
  };
  const importEntry = (): void => {
    name();
    name();
    const kind = bytes[at++]!;
    if (kind === 0) functions.push(leb());
    else if (kind === 3) at += 2;
    else {
      const flags = bytes[at++]!;
      leb();
      if (flags & 1) leb();
    }
  };
  while (at < bytes.length) {
    const id = bytes[at++]!;
    const end = leb() + at;
    const count = id === 1 || id === 2 || id === 3 || id === 7 ? leb() : 0;
    for (let i = 0; i < count; i++) {
      if (id === 1) {
        at++;
        const parameters = valueTypes();
        types.push(`(${parameters})->(${valueTypes()})`);
      } else if (id === 2) importEntry();
      else if (id === 3) functions.push(leb());
      else {
        const exported = name();
        const kind = bytes[at++]!;
        const index = leb();
        if (kind === 0) out.set(exported, types[functions[index]!]!);
      }
    }
    at = end;
  }
  return out;
}

it('exports a function of the right type for every helper', () => {
  const wasm = readFileSync(new URL('../../../dist/runtime/x86.wasm', import.meta.url));
  const signatures = exportedSignatures(wasm);
  const wrong: string[] = [];
  for (const helper of X86_HELPERS) {
    const expected = `(${Array.from({ length: helper.args }, () => 'i64').join(',')})->(${helper.result ? 'i64' : ''})`;
    const found = signatures.get(helper.name) ?? 'missing';
    if (found !== expected) wrong.push(`${helper.name}: ${found}, not ${expected}`);
  }
  assert.deepEqual(wrong, []);
});
