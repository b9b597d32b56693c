// What runs inside the guest. The script prints a marker before and after each workload; the host times the markers.

export interface Workload {
  readonly name: string;
  readonly title: string;
  /** Runs before the clock starts. */
  readonly prepare?: string;
  readonly command: string;
}

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'sha256',
    title: 'sha256sum of 64 MB',
    command: 'head -c 67108864 /dev/zero | sha256sum',
  },
  {
    name: 'gzip',
    title: 'gzip of 16 MB',
    prepare: 'seq 1 2400000 | head -c 16777216 > /tmp/data',
    command: 'gzip -c < /tmp/data | wc -c',
  },
  {
    name: 'loop',
    title: '200 000 shell iterations',
    command: 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; echo $i',
  },
  {
    name: 'forks',
    title: '300 forks',
    command: 'i=0; while [ $i -lt 300 ]; do /bin/busybox true; i=$((i + 1)); done; echo $i',
  },
  {
    name: 'awk',
    title: 'awk float loop',
    // Debian's static busybox has no sin or sqrt.
    command: [
      "awk 'BEGIN { for (i = 1; i <= 100000; i++) { x = i * 0.70710678; s += x / (i + 0.5) - int(x) * 1e-6 }",
      'printf "%.6f\\n", s }\'',
    ].join(' '),
  },
];

export const beginMarker = (name: string): string => `<<begin ${name}>>`;
export const endMarker = (name: string): string => `<<end ${name}>>`;

/** The shell script that runs every workload once. */
export function workScript(): string {
  const lines = WORKLOADS.flatMap(({ name, prepare, command }) => [
    prepare ?? ':',
    `echo '${beginMarker(name)}'`,
    command,
    `echo '${endMarker(name)}'`,
  ]);
  return `#!/bin/sh\n${lines.join('\n')}\n`;
}
