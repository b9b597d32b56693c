// x87 instructions, SDM Vol. 2 and Vol. 1 chapter 8. Columns as in table-integer.ts; "9B" first is the FWAIT of the
// forms that wait.

const ARITHMETIC = ['fadd', 'fmul', 'fcom', 'fcomp', 'fsub', 'fsubr', 'fdiv', 'fdivr'];
const COMPARISONS = ['fcom', 'fcomp'];
const hex = (value: number): string => value.toString(16).padStart(2, '0');

/** In the `st(i), st(0)` forms SUB and SUBR, DIV and DIVR swap their codes (SDM Vol. 2, FSUB). */
const reversed = (i: number): number => (i >= 4 ? i ^ 1 : i);

function arithmeticRows(name: string, i: number): string {
  const integer = `fi${name.slice(1)}`;
  const memory = `
  ${name}  m32        D8 /${i}
  ${name}  m64        DC /${i}
  ${integer}  m16     DE /${i}
  ${integer}  m32     DA /${i}
  ${name}  st         D8 ${hex(0xc0 + i * 8)}+r
  ${name}  st0,st     D8 ${hex(0xc0 + i * 8)}+r`;
  if (COMPARISONS.includes(name)) return `${memory}\n  ${name}  -  D8 ${hex(0xc1 + i * 8)}`;
  const code = 0xc0 + reversed(i) * 8;
  return `${memory}
  ${name}  sto        DC ${hex(code)}+r
  ${name}  st,st0     DC ${hex(code)}+r
  ${name}  -          DE ${hex(code + 1)}
  ${name}p  -         DE ${hex(code + 1)}
  ${name}p  st        DE ${hex(code)}+r
  ${name}p  st,st0    DE ${hex(code)}+r`;
}

const PLAIN = `
  fld  m32   D9 /0
  fld  m64   DD /0
  fld  m80   DB /5
  fld  st    D9 C0+r
  fst  m32   D9 /2
  fst  m64   DD /2
  fst  st    DD D0+r
  fstp  m32  D9 /3
  fstp  m64  DD /3
  fstp  m80  DB /7
  fstp  st   DD D8+r
  fild  m16  DF /0
  fild  m32  DB /0
  fild  m64  DF /5
  fist  m16  DF /2
  fist  m32  DB /2
  fistp  m16  DF /3
  fistp  m32  DB /3
  fistp  m64  DF /7
  fisttp  m16  DF /1
  fisttp  m32  DB /1
  fisttp  m64  DD /1
  fbld  m80   DF /4
  fbstp  m80  DF /6
  fxch  -     D9 C9
  fxch  st    D9 C8+r
  fcompp  -   DE D9
  fucom  -    DD E1
  fucom  st   DD E0+r
  fucomp  -   DD E9
  fucomp  st  DD E8+r
  fucompp  -  DA E9
  fcomi  st       DB F0+r
  fcomi  st0,st   DB F0+r
  fcomip  st      DF F0+r
  fcomip  st0,st  DF F0+r
  fucomi  st      DB E8+r
  fucomi  st0,st  DB E8+r
  fucomip  st     DF E8+r
  fucomip  st0,st  DF E8+r
  fcmovb  st0,st   DA C0+r
  fcmove  st0,st   DA C8+r
  fcmovbe  st0,st  DA D0+r
  fcmovu  st0,st   DA D8+r
  fcmovnb  st0,st  DB C0+r
  fcmovne  st0,st  DB C8+r
  fcmovnbe  st0,st  DB D0+r
  fcmovnu  st0,st  DB D8+r
  ffree  st   DD C0+r
  ffreep  st  DF C0+r
  fnop  -     D9 D0
  fchs  -     D9 E0
  fabs  -     D9 E1
  ftst  -     D9 E4
  fxam  -     D9 E5
  fld1  -     D9 E8
  fldl2t  -   D9 E9
  fldl2e  -   D9 EA
  fldpi  -    D9 EB
  fldlg2  -   D9 EC
  fldln2  -   D9 ED
  fldz  -     D9 EE
  f2xm1  -    D9 F0
  fyl2x  -    D9 F1
  fptan  -    D9 F2
  fpatan  -   D9 F3
  fxtract  -  D9 F4
  fprem1  -   D9 F5
  fdecstp  -  D9 F6
  fincstp  -  D9 F7
  fprem  -    D9 F8
  fyl2xp1  -  D9 F9
  fsqrt  -    D9 FA
  fsincos  -  D9 FB
  frndint  -  D9 FC
  fscale  -   D9 FD
  fsin  -     D9 FE
  fcos  -     D9 FF
  wait/fwait  -  9B
  fninit  -    DB E3
  finit  -     9B DB E3
  fnclex  -    DB E2
  fclex  -     9B DB E2
  fldcw  m16   D9 /5
  fnstcw  m16  D9 /7
  fstcw  m16   wait D9 /7
  fnstsw  m16  DD /7
  fnstsw  ax   DF E0
  fstsw  m16   wait DD /7
  fstsw  ax    9B DF E0
  fldenv  m    D9 /4
  fnstenv  m   D9 /6
  fstenv  m    wait D9 /6
  frstor  m    DD /4
  fnsave  m    DD /6
  fsave  m     wait DD /6
  emms  -      0F 77
`;

/** The rows of every x87 instruction. */
export function x87Rows(): string {
  return [PLAIN, ...ARITHMETIC.map(arithmeticRows)].join('\n');
}
