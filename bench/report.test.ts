import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { markdown, median, medians, rows, updateSection } from './report.ts';

test('medians of odd and even counts', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.deepEqual(
    medians([new Map([['boot', 1]]), new Map([['boot', 3]]), new Map([['start', 5]])]),
    new Map([
      ['boot', 2],
      ['start', 5],
    ]),
  );
});

test('the table compares medians and the geometric mean of the workloads', () => {
  const ours = new Map([
    ['boot', 6],
    ['sha256', 1],
    ['gzip', 4],
    ['resident', 300 << 20],
  ]);
  const reference = new Map([
    ['boot', 4],
    ['sha256', 2],
    ['gzip', 2],
    ['touched', 100 << 20],
  ]);
  const text = markdown(rows(ours, reference), 'ours', 'theirs');
  assert.match(text, /start to shell \| 6\.00 s \| 4\.00 s \| 1\.50 × \|/);
  assert.match(text, /geometric mean of the five \| {2}\| {2}\| 1\.00 × \|/);
  assert.match(text, /beyond the 100 MiB of guest RAM touched \| 200 MiB \|/);
});

test('a section of the document is replaced, not added twice', () => {
  const dir = mkdtempSync(join(tmpdir(), 'lyrebird-bench-'));
  try {
    const file = join(dir, 'benchmarks.md');
    updateSection(file, 'v20', 'old');
    updateSection(file, 'v24', 'other');
    updateSection(file, 'v20', 'new');
    const text = readFileSync(file, 'utf8');
    assert.ok(text.includes('new') && text.includes('other') && !text.includes('old'));
  } finally {
    rmSync(dir, { recursive: true });
  }
});
