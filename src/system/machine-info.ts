/** The texts of the monitor's `info` commands that need the machine itself. */
import type { AddressSpace } from '../core/address-space.ts';
import { UserError } from '../util/errors.ts';
import { miceText, usbText } from './input-commands.ts';
import type { Machine } from './machine.ts';
import { pciText } from './pci-info.ts';
import { machineWorld, qomTreeText } from './qom.ts';
import { qtreeText } from './qtree.ts';
import { formatRegisters } from './x86-registers.ts';

const TOPICS: Readonly<Record<string, (machine: Machine) => string>> = {
  registers: (machine) => formatRegisters(machine.monitorCpu, machine.a20),
  jit: (machine) =>
    machine.accelerator.name === 'tcg' ? machine.accelerator.report() : 'the accelerator is not tcg',
  kvm: (machine) =>
    machine.accelerator.name === 'kvm' ? machine.accelerator.report() : 'kvm support: disabled',
  accelerators: (machine) => `* ${machine.accelerator.name}`,
  status: (machine) => `VM status: ${statusText(machine)}`,
  pic: (machine) => `${machine.board.ioApic.describe()}\n${machine.board.pic.describe()}`,
  lapic: (machine) => machine.board.localApics[machine.monitorCpu.index]!.describe(),
  mtree: (machine) => [machine.board.memory, machine.board.io].map(spaceText).join('\n'),
  qtree: qtreeText,
  'qom-tree': (machine) => qomTreeText(machineWorld(machine)),
  pci: pciText,
  usb: usbText,
  mice: miceText,
  cpus: (machine) => cpusText(machine),
  mem: (machine) => mappingText(machine),
  name: (machine) => machine.config.name,
};

export const INFO_TOPICS: readonly string[] = Object.keys(TOPICS);

/** `UserError` for an unknown topic. */
export function describeMachine(machine: Machine, topic: string): string {
  const describe = Object.hasOwn(TOPICS, topic) ? TOPICS[topic] : undefined;
  if (describe === undefined) throw new UserError('UnknownTopic', `info: unknown topic "${topic}"`);
  return describe(machine);
}

function statusText(machine: Machine): string {
  const { state } = machine.lifecycle;
  return state === 'running' ? 'running' : `paused${state === 'paused' ? '' : ` (${state})`}`;
}

function cpusText(machine: Machine): string {
  return machine.accelerator.vcpus
    .map((cpu) => {
      const mark = cpu === machine.monitorCpu ? '*' : ' ';
      return `${mark} CPU #${cpu.index}: thread_id=0${cpu.halted ? ' (halted)' : ''}`;
    })
    .join('\n');
}

function spaceText(space: AddressSpace): string {
  return `address-space: ${space.name}\n${space.flatView.toString()}`;
}

const PAGE = 4096n;
const MAX_LINES = 500;
const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const LARGE = 0x80n;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;

interface Paging {
  readonly levels: number;
  readonly entryBytes: number;
  readonly bits: number;
  readonly root: bigint;
}

function paging(registers: { cr0: bigint; cr3: bigint; cr4: bigint; efer: bigint }): Paging | undefined {
  const { cr0, cr3, cr4, efer } = registers;
  if ((cr0 & 0x8000_0000n) === 0n) return undefined;
  if ((cr4 & 0x20n) === 0n) return { levels: 2, entryBytes: 4, bits: 10, root: cr3 & 0xffff_f000n };
  if ((efer & 0x400n) === 0n) return { levels: 3, entryBytes: 8, bits: 9, root: cr3 & 0xffff_ffe0n };
  return { levels: (cr4 & 0x1000n) !== 0n ? 5 : 4, entryBytes: 8, bits: 9, root: cr3 & ADDRESS_MASK };
}

/** `info mem`: ranges of mapped linear addresses with equal rights. */
function mappingText(machine: Machine): string {
  const { board } = machine;
  const registers = machine.monitorCpu.readRegisters() as unknown as Parameters<typeof paging>[0];
  const p = paging(registers);
  if (p === undefined) return 'PG disabled';
  const lines: string[] = [];
  let run: { start: bigint; end: bigint; rights: bigint } | undefined;
  const width = p.levels > 3 ? 16 : 8;
  const hex = (value: bigint): string => value.toString(16).padStart(width, '0');
  const flush = (): void => {
    if (run === undefined) return;
    const rights = `${(run.rights & USER) !== 0n ? 'u' : '-'}r${(run.rights & WRITABLE) !== 0n ? 'w' : '-'}`;
    lines.push(`${hex(run.start)}-${hex(run.end)} ${hex(run.end - run.start)} ${rights}`);
    run = undefined;
  };
  const add = (start: bigint, size: bigint, rights: bigint): void => {
    if (run !== undefined && run.end === start && run.rights === rights) run.end += size;
    else {
      flush();
      run = { start, end: start + size, rights };
    }
  };
  const walk = (table: bigint, level: number, base: bigint, rights: bigint): void => {
    const shift = 12n + BigInt(p.bits * (level - 1));
    const count = level === 3 && p.levels === 3 ? 4 : 1 << p.bits;
    for (let i = 0; i < count && lines.length < MAX_LINES; i++) {
      const at = Number(table) + i * p.entryBytes;
      const entry = p.entryBytes === 8 ? board.memory.readU64(at) : BigInt(board.memory.read(at, 4));
      if ((entry & PRESENT) === 0n) continue;
      let address = base + (BigInt(i) << shift);
      if (level === p.levels && p.levels > 3 && i >= count / 2) address |= -1n << (shift + BigInt(p.bits));
      const effective = p.levels === 3 && level === 3 ? rights : rights & entry;
      const isLeaf = level === 1 || ((entry & LARGE) !== 0n && level <= 3 && p.levels !== level);
      if (isLeaf)
        add(BigInt.asUintN(p.levels > 3 ? 64 : 32, address), 1n << shift, effective & (WRITABLE | USER));
      else walk(entry & (p.entryBytes === 8 ? ADDRESS_MASK : ~(PAGE - 1n)), level - 1, address, effective);
    }
  };
  walk(p.root, p.levels, 0n, WRITABLE | USER);
  flush();
  if (lines.length >= MAX_LINES) lines.push('…');
  return lines.join('\n');
}
