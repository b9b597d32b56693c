import { assembleWithSymbols } from '../testing/asm/x86.ts';
import {
  I_CR2,
  I_CS,
  I_DS,
  I_ERROR,
  I_ES,
  I_FRAME_RSP,
  I_FS,
  I_FS_BASE,
  I_GPR,
  I_GS,
  I_GS_BASE,
  I_RFLAGS,
  I_RIP,
  I_RSP,
  I_SS,
  I_VECTOR,
  I_XSAVE,
  REGION,
  VECTOR_TIMEOUT,
} from './image.ts';

// ---- what the native side keeps beside the windows that the cases see
export const HOST = REGION + 0x80_0000;
export const HOST_SIZE = 0x2_0000;
export const INPUT = HOST + 0x1000;
export const OUTPUT = HOST + 0x2000;
/** Saved stack pointer, FS base, GS base, MXCSR, x87 control word; while a case runs 1, then 2 from the first tick on. */
const SAVED = HOST + 0x3000;
export const SIGALRM = 14;
/** Room for `struct sigaction`, `stack_t`, `struct sigevent` and `struct itimerspec`. */
export const ARGUMENTS = HOST + 0x3100;
const STACK_TOP = HOST + 0x5000;
export const SIGNAL_STACK = HOST + 0x8000;
export const SIGNAL_STACK_SIZE = 0x1_0000;

const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
/** Order of `gregs` in the signal context of x86-64 Linux, from offset 40 of the `ucontext_t`. */
const CONTEXT = 'r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp'.split(' ');
const context = (index: number): number => 40 + index * 8;
const CONTEXT_RIP = context(16);
const CONTEXT_FLAGS = context(17);
const CONTEXT_SEGMENTS = context(18);
const CONTEXT_ERROR = context(19);
const CONTEXT_TRAP = context(20);
const CONTEXT_CR2 = context(22);
const CONTEXT_FPSTATE = context(23);

const SOURCE = `
bits 64
org ${HOST}

enter:
  push rbx
  push rbp
  push r12
  push r13
  push r14
  push r15
  mov [${SAVED}], rsp
  rdfsbase rax
  mov [${SAVED + 8}], rax
  rdgsbase rax
  mov [${SAVED + 16}], rax
  stmxcsr [${SAVED + 24}]
  fnstcw [${SAVED + 28}]
  mov es, [${INPUT + I_ES}]
  mov ds, [${INPUT + I_DS}]
  mov fs, [${INPUT + I_FS}]
  mov gs, [${INPUT + I_GS}]
  mov rax, [${INPUT + I_FS_BASE}]
  wrfsbase rax
  mov rax, [${INPUT + I_GS_BASE}]
  wrgsbase rax
  mov rax, [${INPUT + I_RSP}]
  mov [${INPUT + I_FRAME_RSP}], rax
  mov eax, 7
  xor edx, edx
  xrstor64 [${INPUT + I_XSAVE}]
  mov byte [${SAVED + 32}], 1
${REGISTERS.map((r, i) => (r === 'rsp' ? '' : `  mov ${r}, [${INPUT + I_GPR + i * 8}]`)).join('\n')}
  mov rsp, ${INPUT + I_RIP}
  iretq

; the case ran to its end
leave:
${REGISTERS.map((r, i) => `  mov [${OUTPUT + I_GPR + i * 8}], ${r}`).join('\n')}
  mov rsp, ${STACK_TOP}
  pushfq
  pop qword [${OUTPUT + I_RFLAGS}]
  mov byte [${SAVED + 32}], 0
  mov dword [${OUTPUT + I_VECTOR}], -1
  mov eax, 7
  xor edx, edx
  xsave64 [${OUTPUT + I_XSAVE}]
  mov eax, ss
  mov [${OUTPUT + I_SS}], eax
back:
  mov [${OUTPUT + I_ES}], es
  mov [${OUTPUT + I_DS}], ds
  mov [${OUTPUT + I_FS}], fs
  mov [${OUTPUT + I_GS}], gs
  rdfsbase rax
  mov [${OUTPUT + I_FS_BASE}], rax
  rdgsbase rax
  mov [${OUTPUT + I_GS_BASE}], rax
  xor eax, eax
  mov es, eax
  mov ds, eax
  mov fs, eax
  mov gs, eax
  mov rax, [${SAVED + 8}]
  wrfsbase rax
  mov rax, [${SAVED + 16}]
  wrgsbase rax
  db 0xc5, 0xf8, 0x77 ; vzeroupper
  fninit
  fldcw [${SAVED + 28}]
  ldmxcsr [${SAVED + 24}]
  mov rsp, [${SAVED}]
  push 0x202
  popfq
  pop r15
  pop r14
  pop r13
  pop r12
  pop rbp
  pop rbx
  cld
  ret

; signal handler: edi = the signal, rdx = the context
fault:
  cmp edi, ${SIGALRM}
  je tick
stopped:
  cmp byte [${SAVED + 32}], 0
  je stray
  mov byte [${SAVED + 32}], 0
${CONTEXT.map((r, i) => `  mov rax, [rdx+${context(i)}]\n  mov [${OUTPUT + I_GPR + REGISTERS.indexOf(r) * 8}], rax`).join('\n')}
  mov rax, [rdx+${CONTEXT_RIP}]
  mov [${OUTPUT + I_RIP}], rax
  mov rax, [rdx+${CONTEXT_FLAGS}]
  mov [${OUTPUT + I_RFLAGS}], rax
  movzx eax, word [rdx+${CONTEXT_SEGMENTS}]
  mov [${OUTPUT + I_CS}], rax
  movzx eax, word [rdx+${CONTEXT_SEGMENTS + 6}]
  mov [${OUTPUT + I_SS}], eax
  mov eax, [rdx+${CONTEXT_TRAP}]
  cmp edi, ${SIGALRM}
  jne trapped
  mov eax, ${VECTOR_TIMEOUT}
trapped:
  mov [${OUTPUT + I_VECTOR}], eax
  mov eax, [rdx+${CONTEXT_ERROR}]
  mov [${OUTPUT + I_ERROR}], eax
  mov rax, [rdx+${CONTEXT_CR2}]
  mov [${OUTPUT + I_CR2}], rax
  mov rsi, [rdx+${CONTEXT_FPSTATE}]
  mov edi, ${OUTPUT + I_XSAVE}
  mov ecx, 104
  rep movsq
  jmp back

; the timer: a case that runs at two ticks is stopped
tick:
  cmp byte [${SAVED + 32}], 1
  ja stopped
  jb resume
  mov byte [${SAVED + 32}], 2
resume:
  ret

; not from a case: end the process with a status of its own
stray:
  mov edi, ${139}
  mov eax, 231
  syscall
`;

export interface NativeCode {
  readonly code: Uint8Array;
  readonly enter: number;
  readonly leave: number;
  readonly fault: number;
}

/** The machine code between JavaScript and a case. */
export function nativeCode(): NativeCode {
  const { code, symbols } = assembleWithSymbols(SOURCE);
  const at = (name: string): number => Number(symbols.get(name));
  return { code, enter: at('enter'), leave: at('leave'), fault: at('fault') };
}

/** What follows a case: a jump to `leave` that changes nothing else. */
export function terminator(bits: 32 | 64, at: number, leave: number): Uint8Array {
  const bytes = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
  return Uint8Array.from(bits === 64 ? [0xe9, ...bytes(leave - at - 5)] : [0xea, ...bytes(leave), 0x33, 0]);
}
