import {
  CC_CO,
  CC_DST,
  CC_ID,
  CC_OP,
  CC_SRC,
  CC_SRC2,
  CR0,
  DF_STEP,
  EFLAGS,
  EXIT_REQUEST,
  FAULT,
  FPU_SW,
  FPU_TOP,
  GDT_BASE,
  GDT_LIMIT,
  IDT_BASE,
  IDT_LIMIT,
  KEY,
  MXCSR,
  RIP,
  SCRATCH,
  SEG,
  SEG_STRIDE,
  TSC_AUX,
  XMM,
} from '../../runtime/x86/layout.ts';

export const REG64 = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;

const NAMES: ReadonlyMap<number, string> = new Map([
  ...REG64.map((name, n): [number, string] => [n << 3, name]),
  [CC_DST, 'cc_dst'],
  [CC_SRC, 'cc_src'],
  [CC_SRC2, 'cc_src2'],
  [CC_OP, 'cc_op'],
  [CC_CO, 'cc_co'],
  [CC_ID, 'cc_id'],
  [RIP, 'rip'],
  [KEY, 'key'],
  [EXIT_REQUEST, 'exit_request'],
  [FAULT, 'fault'],
  [EFLAGS, 'eflags'],
  [DF_STEP, 'df_step'],
  [CR0, 'cr0'],
  [TSC_AUX, 'tsc_aux'],
  [GDT_BASE, 'gdt.base'],
  [GDT_LIMIT, 'gdt.limit'],
  [IDT_BASE, 'idt.base'],
  [IDT_LIMIT, 'idt.limit'],
  [MXCSR, 'mxcsr'],
  [FPU_SW, 'fpu_sw'],
  [FPU_TOP, 'fpu_top'],
  [SCRATCH, 'scratch'],
  ...[...SEGMENT_NAMES, 'ldtr', 'tr'].flatMap((name, n): [number, string][] =>
    ['selector', 'base', 'limit', 'attr'].map((field, i) => [
      SEG + n * SEG_STRIDE + i * 8,
      `${name}.${field}`,
    ]),
  ),
  ...Array.from({ length: 16 }, (_, n): [number, string] => [XMM + n * 16, `xmm${n}`]),
]);

/** Debug name of a state slot. */
export function slotName(offset: number): string | undefined {
  const name = NAMES.get(offset);
  if (name !== undefined || offset < XMM || offset >= XMM + 256) return name;
  return `xmm${(offset - XMM) >> 4}+${(offset - XMM) & 15}`;
}
