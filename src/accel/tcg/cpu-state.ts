/** The complete state of a vCPU under the names that every accelerator uses (`Vcpu.saveState`). */
import * as r from '../../runtime/x86/layout.ts';
import type { CpuRegisters } from '../accelerator.ts';
import type { TcgMemory } from './tcg-memory.ts';
import { type RegisterFile, readCpuRegisters, writeCpuRegisters } from './x86-registers.ts';

const SLOTS: ReadonlyMap<string, number> = new Map([
  ['star', r.MSR_STAR],
  ['lstar', r.MSR_LSTAR],
  ['cstar', r.MSR_CSTAR],
  ['fmask', r.MSR_FMASK],
  ['sysenter_cs', r.SYSENTER_CS],
  ['sysenter_esp', r.SYSENTER_ESP],
  ['sysenter_eip', r.SYSENTER_EIP],
  ['pat', r.MSR_PAT],
  ['misc_enable', r.MISC_ENABLE],
  ['tsc_adjust', r.TSC_ADJUST],
  ['tsc_aux', r.TSC_AUX],
  ['xcr0', r.XCR0],
  ['fpu_ip', r.FPU_IP],
  ['fpu_dp', r.FPU_DP],
  ['fpu_opcode', r.FPU_OPCODE],
  ['nmi_blocked', r.NMI_BLOCKED],
  ['smm', r.SMM],
  ['smbase', r.SMBASE],
  ['ferr', r.FERR],
  ['pkru', r.PKRU],
  ...storedMsrs(),
]);

/** MSRs that only keep their value, as `msr_` and their number: MTRRs, machine check, IA32_DEBUGCTL (`runtime/x86/msr.ts`). */
function storedMsrs(): [string, number][] {
  const places: [number, number][] = [
    ...Array.from({ length: 16 }, (_, n): [number, number] => [0x200 + n, n]),
    ...Array.from({ length: 8 }, (_, n): [number, number] => [0x268 + n, 16 + n]),
    ...Array.from({ length: 40 }, (_, n): [number, number] => [0x400 + n, 40 + n]),
    ...([0x250, 0x258, 0x259, 0x2ff, 0x17a, 0x17b, 0x1d9] as const).map((index, n): [number, number] => [
      index,
      24 + n,
    ]),
  ];
  return places.map(([index, place]) => [`msr_${index.toString(16)}`, r.MSR_STORE + 8 * place]);
}

const VECTORS = 16;
const FPU_REGISTERS = 8;
const MASK64 = (1n << 64n) - 1n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LMA = 0x400n;

/** Everything but the run state (`halted`, `waits_for_sipi`), which its owner keeps. `tscBase`: the TSC less the guest's offset. */
export function readCpuState(cpu: RegisterFile, tscBase: number): CpuRegisters {
  const out = readCpuRegisters(cpu);
  for (const [name, slot] of SLOTS) out[name] = cpu.readSlot(slot);
  for (let n = 0; n < VECTORS; n++) {
    const at = r.YMM_HI + 16 * n;
    out[`ymm${n}_hi`] = cpu.readSlot(at) | (cpu.readSlot(at + 8) << 64n);
  }
  for (let n = 0; n < FPU_REGISTERS; n++) {
    const at = r.FPR + 16 * n;
    out[`fpr${n}`] = cpu.readSlot(at) | ((cpu.readSlot(at + 8) & 0xffffn) << 64n);
  }
  const tags = cpu.readSlot(r.FPU_TAGS);
  out['fpu_tags'] = BigInt(
    Array.from({ length: FPU_REGISTERS }, (_, n) => Number((tags >> BigInt(8 * n)) & 1n) << n).reduce(
      (a, b) => a | b,
    ),
  );
  out['tsc'] = BigInt.asUintN(64, BigInt(tscBase) + cpu.readSlot(r.TSC_OFFSET));
  out['nmi_pending'] = (cpu.readSlot(r.INTERRUPT_PENDING) & BigInt(r.INTERRUPT_NMI)) !== 0n ? 1n : 0n;
  out['injected'] = 0n;
  return out;
}

/** Leaves pending interrupts to the caller. */
export function writeCpuState(
  cpu: RegisterFile,
  values: Readonly<CpuRegisters>,
  tscBase: number,
  memory: TcgMemory,
): void {
  for (const [name, slot] of SLOTS) if (values[name] !== undefined) cpu.writeSlot(slot, values[name]);
  for (let n = 0; n < VECTORS; n++) writeWide(cpu, r.YMM_HI + 16 * n, values[`ymm${n}_hi`]);
  for (let n = 0; n < FPU_REGISTERS; n++) writeWide(cpu, r.FPR + 16 * n, values[`fpr${n}`]);
  const tags = values['fpu_tags'];
  if (tags !== undefined) {
    let bytes = 0n;
    for (let n = 0; n < FPU_REGISTERS; n++) bytes |= ((tags >> BigInt(n)) & 1n) << BigInt(8 * n);
    cpu.writeSlot(r.FPU_TAGS, bytes);
  }
  if (values['tsc'] !== undefined)
    cpu.writeSlot(r.TSC_OFFSET, BigInt.asUintN(64, values['tsc'] - BigInt(tscBase)));
  // The next LDMXCSR decides anew whether float operations may be inline.
  cpu.writeSlot(r.FP_FAST, 0n);
  loadPdpte(cpu, values, memory);
  writeCpuRegisters(cpu, values);
}

function writeWide(cpu: RegisterFile, at: number, value: bigint | undefined): void {
  if (value === undefined) return;
  cpu.writeSlot(at, value & MASK64);
  cpu.writeSlot(at + 8, (value >> 64n) & MASK64);
}

/** PAE paging outside long mode works on copies of four entries (SDM Vol. 3A 4.4.1). */
function loadPdpte(cpu: RegisterFile, values: Readonly<CpuRegisters>, memory: TcgMemory): void {
  const { cr0 = 0n, cr3 = 0n, cr4 = 0n, efer = 0n } = values;
  if ((cr0 & CR0_PG) === 0n || (cr4 & CR4_PAE) === 0n || (efer & EFER_LMA) !== 0n) return;
  const host = memory.hostAddress(Number(cr3 & 0xffff_ffe0n));
  if (host === 0) return;
  for (let n = 0; n < 4; n++) cpu.writeSlot(r.PDPTE + 8 * n, memory.view.getBigUint64(host + 8 * n, true));
}
