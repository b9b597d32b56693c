/** `lyrebird host check` and `lyrebird kernel check FILE`. */
import { type CheckResult, checkHost, isUsable } from '../accel/kvm/check/host-check.ts';
import {
  checkGuestKernel,
  checkHostKernel,
  type KernelVerdict,
  parseKernelConfig,
} from '../accel/kvm/check/kernel-config.ts';
import { collectHostFacts } from '../host/node/host-facts.ts';
import { readKernelConfig } from '../host/node/kernel-config-file.ts';
import { UserError } from '../util/errors.ts';

/** What is printed, and the exit status. */
export interface CheckReport {
  readonly text: string;
  readonly status: number;
}

const LABELS = { ok: 'ok     ', warning: 'warning', failure: 'FAILURE' } as const;

function humanLine({ title, status, evidence, remedy }: CheckResult): string {
  const line = `${LABELS[status]}  ${title.padEnd(20)}  ${evidence}`;
  return remedy === undefined ? line : `${line}\n${' '.repeat(31)}→ ${remedy}`;
}

/** Status 0: guests can run under KVM; 1: they cannot. `args`: `--json`, `--root DIR` (read /proc and /sys below DIR). */
export function hostCheck(args: readonly string[]): CheckReport {
  const { json, root, rest } = parseArgs(args);
  if (rest.length > 0) throw new UserError('UnknownOption', `host check: unexpected argument "${rest[0]}"`);
  const facts = collectHostFacts(root === undefined ? {} : { root });
  const checks = checkHost(facts);
  const usable = isUsable(checks);
  const status = usable ? 0 : 1;
  if (json) {
    const { apiVersion = null, capabilities = {} } = facts.probe ?? {};
    return { status, text: `${JSON.stringify({ usable, checks, apiVersion, capabilities }, null, 2)}\n` };
  }
  const summary = usable ? 'KVM can be used: -accel kvm' : 'KVM cannot be used; -accel tcg works everywhere';
  return { status, text: `${checks.map(humanLine).join('\n')}\n\n${summary}\n` };
}

/** Status 0: the kernel can be a guest and a host; 1: a guest only (or a host only); 2: neither. */
export function kernelCheck(args: readonly string[]): CheckReport {
  const { json, rest } = parseArgs(args);
  const [path, extra] = rest;
  if (path === undefined || extra !== undefined)
    throw new UserError(
      'MissingValue',
      'kernel check: give one file (a .config, config.gz, vmlinuz or vmlinux)',
    );
  const config = parseKernelConfig(readKernelConfig(path));
  const verdicts = [checkGuestKernel(config), checkHostKernel(config)];
  const status = verdicts.filter(({ able }) => !able).length;
  if (json) {
    const [guest, host] = verdicts;
    return { status, text: `${JSON.stringify({ file: path, guest, host }, null, 2)}\n` };
  }
  return { status, text: `${verdicts.map(verdictText).join('\n')}\n` };
}

function verdictText({ role, able, good, missing, remedy }: KernelVerdict): string {
  const what = `KVM ${role}`;
  if (good) return `ok       ${what}: everything is there`;
  const lines = missing.map(
    ({ name, why, required }) =>
      `           CONFIG_${name.padEnd(22)} ${required ? 'needed' : 'useful'}: ${why}`,
  );
  const head = able ? `warning  ${what}: works, but lacks` : `FAILURE  ${what}: lacks`;
  return [head, ...lines, ...(remedy === undefined ? [] : [`         → ${remedy}`])].join('\n');
}

function parseArgs(args: readonly string[]): { json: boolean; root: string | undefined; rest: string[] } {
  const rest: string[] = [];
  let json = false;
  let root: string | undefined;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '--json') json = true;
    else if (arg === '--root') {
      root = args[++i];
      if (root === undefined) throw new UserError('MissingValue', '--root: a directory is missing');
    } else if (arg.startsWith('-')) throw new UserError('UnknownOption', `${arg}: unknown option`);
    else rest.push(arg);
  }
  return { json, root, rest };
}
