import {
  DATA,
  I_CR2,
  I_CS,
  I_DS,
  I_ERROR,
  I_ES,
  I_FCW,
  I_FDP,
  I_FIP,
  I_FOP,
  I_FS,
  I_FS_BASE,
  I_FSW,
  I_FTW,
  I_GPR,
  I_GS,
  I_GS_BASE,
  I_MXCSR,
  I_RFLAGS,
  I_RIP,
  I_SS,
  I_ST,
  I_VECTOR,
  I_XMM,
  I_YMM_HI,
} from './image.ts';

const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

/** Name, place and size of everything in an image. */
const FIELDS: readonly (readonly [string, number, number])[] = [
  ['vector', I_VECTOR, 4],
  ['error', I_ERROR, 4],
  ['cr2', I_CR2, 8],
  ['rip', I_RIP, 8],
  ['rflags', I_RFLAGS, 8],
  ...REGISTERS.map((name, i) => [name, I_GPR + i * 8, 8] as const),
  ['cs', I_CS, 8],
  ['ss', I_SS, 8],
  ['es', I_ES, 2],
  ['ds', I_DS, 2],
  ['fs', I_FS, 2],
  ['gs', I_GS, 2],
  ['fs_base', I_FS_BASE, 8],
  ['gs_base', I_GS_BASE, 8],
  ['mxcsr', I_MXCSR, 4],
  ['fcw', I_FCW, 2],
  ['fsw', I_FSW, 2],
  ['ftw', I_FTW, 1],
  ['fop', I_FOP, 2],
  ['fip', I_FIP, 8],
  ['fdp', I_FDP, 8],
  ...Array.from({ length: 8 }, (_, i) => [`st${i}`, I_ST + i * 16, 10] as const),
  ...Array.from({ length: 16 }, (_, i) => [`xmm${i}`, I_XMM + i * 16, 16] as const),
  ...Array.from({ length: 16 }, (_, i) => [`ymm${i}h`, I_YMM_HI + i * 16, 16] as const),
];

/** Little-endian bytes as one hexadecimal number. */
export function hexAt(image: Uint8Array, at: number, size: number): string {
  let text = '';
  for (let i = size - 1; i >= 0; i--) text += image[at + i]!.toString(16).padStart(2, '0');
  return text;
}

/** Fields in which two images differ, as `name: a b`. */
export function differences(a: Uint8Array, b: Uint8Array, names = ['native', 'emulated']): string[] {
  const out: string[] = [];
  for (const [name, at, size] of FIELDS) {
    const x = hexAt(a, at, size);
    const y = hexAt(b, at, size);
    if (x !== y) out.push(`${name}: ${names[0]} ${x} ${names[1]} ${y}`);
  }
  return out;
}

/** The first bytes in which two copies of the data window differ. */
export function memoryDifferences(a: Uint8Array, b: Uint8Array): string[] {
  const out: string[] = [];
  for (let i = 0; i < a.length && out.length < 4; i++) {
    if (a[i] !== b[i]) {
      const end = Math.min(i + 16, a.length);
      out.push(
        `memory ${(DATA + i).toString(16)}: native ${hexAt(a, i, end - i)} emulated ${hexAt(b, i, end - i)}`,
      );
      i = end - 1;
    }
  }
  return out;
}

/** The fields an instruction could have used, for a report. */
export function showState(image: Uint8Array): string[] {
  return FIELDS.map(([name, at, size]) => `${name}=${hexAt(image, at, size)}`);
}
