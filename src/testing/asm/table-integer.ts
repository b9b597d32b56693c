// Integer and system instructions, SDM Vol. 2. Columns: mnemonics, operands ("-" for none), encoding; see table.ts.

const ARITHMETIC = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const SHIFTS = ['rol', 'ror', 'rcl', 'rcr', 'shl/sal', 'shr', '', 'sar'];
const BIT_TESTS = ['bt', 'bts', 'btr', 'btc'];

/** Condition names in the order of their codes 0…15 (SDM Vol. 2D B.1.4.7). */
const CONDITIONS = [
  'o',
  'no',
  'b/c/nae',
  'nb/nc/ae',
  'z/e',
  'nz/ne',
  'be/na',
  'nbe/a',
  's',
  'ns',
  'p/pe',
  'np/po',
  'l/nge',
  'nl/ge',
  'le/ng',
  'nle/g',
];

const hex = (value: number): string => value.toString(16).padStart(2, '0');

const arithmeticRows = (name: string, i: number): string => `
  ${name}  rm8,r8      ${hex(i * 8)} /r
  ${name}  rmv,rv      ${hex(i * 8 + 1)} /r
  ${name}  r8,rm8      ${hex(i * 8 + 2)} /r
  ${name}  rv,rmv      ${hex(i * 8 + 3)} /r
  ${name}  rmv,s8      83 /${i} ib
  ${name}  al,i8       ${hex(i * 8 + 4)} ib
  ${name}  av,iz       ${hex(i * 8 + 5)} iz
  ${name}  rm8,i8      80 /${i} ib
  ${name}  rmv,iz      81 /${i} iz`;

const shiftRows = (name: string, i: number): string =>
  name === ''
    ? ''
    : `
  ${name}  rm8,one     D0 /${i}
  ${name}  rmv,one     D1 /${i}
  ${name}  rm8,cl      D2 /${i}
  ${name}  rmv,cl      D3 /${i}
  ${name}  rm8,i8      C0 /${i} ib
  ${name}  rmv,i8      C1 /${i} ib`;

const bitTestRows = (name: string, i: number): string => `
  ${name}  rmv,rv      0F ${hex(0xa3 + i * 8)} /r
  ${name}  rmv,i8      0F BA /${i + 4} ib`;

function conditionRows(names: string, code: number): string {
  const all = (prefix: string): string =>
    names
      .split('/')
      .map((name) => prefix + name)
      .join('/');
  return `
  ${all('j')}     rel8     ${hex(0x70 + code)} cb
  ${all('j')}     relz     d64 0F ${hex(0x80 + code)} cz
  ${all('set')}   rm8      0F ${hex(0x90 + code)} /0
  ${all('cmov')}  rv,rmv   0F ${hex(0x40 + code)} /r`;
}

const PLAIN = `
  mov  al,moffs8     A0 mo
  mov  av,moffsv     A1 mo
  mov  moffs8,al     A2 mo
  mov  moffsv,av     A3 mo
  mov  rm8,r8        88 /r
  mov  rmv,rv        89 /r
  mov  r8,rm8        8A /r
  mov  rv,rmv        8B /r
  mov  r8,i8         B0+r ib
  mov  r16,i16       o16 B8+r iw
  mov  r32,i32       o32 B8+r id
  mov  r64,u32       B8+r id
  mov  n64,c32       w C7 /0 id
  mov  r64,i64       w B8+r iq
  mov  rm8,i8        C6 /0 ib
  mov  rmv,iz        C7 /0 iz
  mov  m16,sreg      8C /r
  mov  n16,sreg      o16 8C /r
  mov  n32,sreg      o32 8C /r
  mov  n64,sreg      8C /r
  mov  sreg,m16      8E /r
  mov  sreg,n16      8E /r
  mov  sreg,n32      8E /r
  mov  sreg,n64      8E /r
  mov  n32,cr        x32 0F 20 /r
  mov  cr,n32        x32 0F 22 /r
  mov  n32,dr        x32 0F 21 /r
  mov  dr,n32        x32 0F 23 /r
  mov  n64,cr        x64 0F 20 /r
  mov  cr,n64        x64 0F 22 /r
  mov  n64,dr        x64 0F 21 /r
  mov  dr,n64        x64 0F 23 /r
  movzx  rv,rm8      0F B6 /r
  movzx  ry,rm16     0F B7 /r
  movsx  rv,rm8      0F BE /r
  movsx  ry,rm16     0F BF /r
  movsxd  r64,rm32   w 63 /r
  movsxd  r32,rm32   x64 63 /r
  movbe  rv,mv       0F 38 F0 /r
  movbe  mv,rv       0F 38 F1 /r
  lea  rv,m          8D /r
  xchg  eax,eax      x64 87 C0
  xchg  av,rv        90+r
  xchg  rv,av        90+r
  xchg  r8,rm8       86 /r
  xchg  rv,rmv       87 /r
  xchg  rm8,r8       86 /r
  xchg  rmv,rv       87 /r
  test  rm8,r8       84 /r
  test  rmv,rv       85 /r
  test  r8,rm8       84 /r
  test  rv,rmv       85 /r
  test  al,i8        A8 ib
  test  av,iz        A9 iz
  test  rm8,i8       F6 /0 ib
  test  rmv,iz       F7 /0 iz
  not  rm8  F6 /2
  not  rmv  F7 /2
  neg  rm8  F6 /3
  neg  rmv  F7 /3
  mul  rm8  F6 /4
  mul  rmv  F7 /4
  imul  rm8  F6 /5
  imul  rmv  F7 /5
  imul  rv,rmv       0F AF /r
  imul  rv,rmv,s8    6B /r ib
  imul  rv,rmv,iz    69 /r iz
  imul  rv,s8        6B /rr ib
  imul  rv,iz        69 /rr iz
  div  rm8  F6 /6
  div  rmv  F7 /6
  idiv  rm8  F6 /7
  idiv  rmv  F7 /7
  inc  r16  x32 o16 40+r
  inc  r32  x32 o32 40+r
  inc  rm8  FE /0
  inc  rmv  FF /0
  dec  r16  x32 o16 48+r
  dec  r32  x32 o32 48+r
  dec  rm8  FE /1
  dec  rmv  FF /1
  push  rv      d64 50+r
  push  s8v     d64 6A ib
  push  iz      d64 68 iz
  push  rmv     d64 FF /6
  pop   rv      d64 58+r
  pop   rmv     d64 8F /0
  push  es  x32 06
  push  cs  x32 0E
  push  ss  x32 16
  push  ds  x32 1E
  pop   es  x32 07
  pop   ss  x32 17
  pop   ds  x32 1F
  push  fs  0F A0
  push  gs  0F A8
  pop   fs  0F A1
  pop   gs  0F A9
  pusha  -   x32 60
  pushaw  -  x32 o16 60
  pushad  -  x32 o32 60
  popa  -    x32 61
  popaw  -   x32 o16 61
  popad  -   x32 o32 61
  pushf  -   9C
  pushfw  -  o16 9C
  pushfd  -  x32 o32 9C
  pushfq  -  x64 9C
  popf  -    9D
  popfw  -   o16 9D
  popfd  -   x32 o32 9D
  popfq  -   x64 9D
  lahf  -    9F
  sahf  -    9E
  clc  -  F8
  stc  -  F9
  cli  -  FA
  sti  -  FB
  cld  -  FC
  std  -  FD
  cmc  -  F5
  hlt  -  F4
  rsm  -  0F AA
  nop  -  90
  nop  rmv  0F 1F /0
  pause  -  F3 90
  cbw  -   o16 98
  cwde  -  o32 98
  cdqe  -  w 98
  cwd  -   o16 99
  cdq  -   o32 99
  cqo  -   w 99
  daa  -   x32 27
  das  -   x32 2F
  aaa  -   x32 37
  aas  -   x32 3F
  aam  -   x32 D4 0A
  aam  i8  x32 D4 ib
  aad  -   x32 D5 0A
  aad  i8  x32 D5 ib
  salc  -  x32 D6
  xlatb/xlat  -  D7
  bound  rv,m  x32 62 /r
  arpl  rm16,r16  x32 63 /r
  into  -  x32 CE
  int3  -  CC
  int1/icebp  -  F1
  int  i8  CD ib
  ud2  -  0F 0B
  ud1  rv,rmv  0F B9 /r
  ret/retn  -    C3
  ret/retn  i16  C2 iw
  retf  -    CB
  retf  i16  CA iw
  retfq  -   w CB
  iret   -   CF
  iretw  -   o16 CF
  iretd  -   o32 CF
  iretq  -   w CF
  leave  -   C9
  enter  i16,i8  C8 iw ib
  jmp  rel8    EB cb
  jmp  relz    d64 E9 cz
  jmp  rmv     d64 FF /4
  jmp  ptrz    x32 EA iz sel
  jmp  mfar    FF /5
  call  relz   d64 E8 cz
  call  rmv    d64 FF /2
  call  ptrz   x32 9A iz sel
  call  mfar   FF /3
  loop  rel8             E2 cb
  loop  rel8,cx          a16 E2 cb
  loop  rel8,ecx         a32 E2 cb
  loop  rel8,rcx         a64 E2 cb
  loope/loopz  rel8      E1 cb
  loopne/loopnz  rel8    E0 cb
  jcxz  rel8   a16 E3 cb
  jecxz  rel8  a32 E3 cb
  jrcxz  rel8  a64 E3 cb
  movsb  -  A4
  movsw  -  o16 A5
  movsd  -  o32 A5
  movsq  -  w A5
  cmpsb  -  A6
  cmpsw  -  o16 A7
  cmpsd  -  o32 A7
  cmpsq  -  w A7
  stosb  -  AA
  stosw  -  o16 AB
  stosd  -  o32 AB
  stosq  -  w AB
  lodsb  -  AC
  lodsw  -  o16 AD
  lodsd  -  o32 AD
  lodsq  -  w AD
  scasb  -  AE
  scasw  -  o16 AF
  scasd  -  o32 AF
  scasq  -  w AF
  insb  -   6C
  insw  -   o16 6D
  insd  -   o32 6D
  outsb  -  6E
  outsw  -  o16 6F
  outsd  -  o32 6F
  in  al,i8    E4 ib
  in  ax,i8    o16 E5 ib
  in  eax,i8   o32 E5 ib
  in  al,dx    EC
  in  ax,dx    o16 ED
  in  eax,dx   o32 ED
  out  i8,al   E6 ib
  out  i8,ax   o16 E7 ib
  out  i8,eax  o32 E7 ib
  out  dx,al   EE
  out  dx,ax   o16 EF
  out  dx,eax  o32 EF
  les  rv,m  x32 C4 /r
  lds  rv,m  x32 C5 /r
  lss  rv,m  0F B2 /r
  lfs  rv,m  0F B4 /r
  lgs  rv,m  0F B5 /r
  shld  rmv,rv,i8  0F A4 /r ib
  shld  rmv,rv,cl  0F A5 /r
  shrd  rmv,rv,i8  0F AC /r ib
  shrd  rmv,rv,cl  0F AD /r
  bsf  rv,rmv     0F BC /r
  bsr  rv,rmv     0F BD /r
  tzcnt  rv,rmv   pF3 0F BC /r
  lzcnt  rv,rmv   pF3 0F BD /r
  popcnt  rv,rmv  pF3 0F B8 /r
  adcx  r32,rm32  p66 0F 38 F6 /r
  adcx  r64,rm64  p66 w 0F 38 F6 /r
  adox  r32,rm32  pF3 0F 38 F6 /r
  adox  r64,rm64  pF3 w 0F 38 F6 /r
  crc32  r32,rm8   pF2 0F 38 F0 /r
  crc32  r64,rm8   pF2 w 0F 38 F0 /r
  crc32  r32,rm16  pF2 o16 0F 38 F1 /r
  crc32  r32,rm32  pF2 o32 0F 38 F1 /r
  crc32  r64,rm64  pF2 w 0F 38 F1 /r
  bswap  ry  0F C8+r
  xadd  rm8,r8  0F C0 /r
  xadd  rmv,rv  0F C1 /r
  cmpxchg  rm8,r8  0F B0 /r
  cmpxchg  rmv,rv  0F B1 /r
  cmpxchg8b  m64    0F C7 /1
  cmpxchg16b  m128  w 0F C7 /1
  movnti  m32,r32  0F C3 /r
  movnti  m64,r64  w 0F C3 /r
  rdrand  nv  0F C7 /6
  rdseed  nv  0F C7 /7
  lgdt  m  0F 01 /2
  lidt  m  0F 01 /3
  sgdt  m  0F 01 /0
  sidt  m  0F 01 /1
  sldt  m16  0F 00 /0
  sldt  n16  o16 0F 00 /0
  sldt  n32  o32 0F 00 /0
  sldt  n64  0F 00 /0
  str  m16   0F 00 /1
  str  n16   o16 0F 00 /1
  str  n32   o32 0F 00 /1
  str  n64   w 0F 00 /1
  lldt  rm16  0F 00 /2
  ltr  rm16   0F 00 /3
  lldt  n32  0F 00 /2
  ltr  n32   0F 00 /3
  verr  rm16  0F 00 /4
  verw  rm16  0F 00 /5
  smsw  m16   0F 01 /4
  smsw  nv    0F 01 /4
  lmsw  rm16  0F 01 /6
  invlpg  m   0F 01 /7
  lar  rv,m16  0F 02 /r
  lar  rv,nv   0F 02 /r
  lsl  rv,m16  0F 03 /r
  lsl  rv,nv   0F 03 /r
  clts  -    0F 06
  invd  -    0F 08
  wbinvd  -  0F 09
  wrmsr  -   0F 30
  rdtsc  -   0F 31
  rdmsr  -   0F 32
  rdpmc  -   0F 33
  rdtscp  -  0F 01 F9
  swapgs  -  x64 0F 01 F8
  monitor  -  0F 01 C8
  rdpkru  -  0F 01 EE
  wrpkru  -  0F 01 EF
  clzero  -  0F 01 FC
  mwait  -   0F 01 C9
  clac  -    0F 01 CA
  stac  -    0F 01 CB
  xgetbv  -  0F 01 D0
  xsetbv  -  0F 01 D1
  vmcall  -  0F 01 C1
  sysenter  -  0F 34
  sysexit  -   0F 35
  sysexitq  -  w 0F 35
  syscall  -   0F 05
  sysret  -    0F 07
  sysretq  -   w 0F 07
  cpuid  -  0F A2
  rsm  -    0F AA
  invpcid  r32,m128  x32 p66 0F 38 82 /r
  invpcid  r64,m128  p66 w 0F 38 82 /r
  rdfsbase  nyx  pF3 0F AE /0
  rdgsbase  nyx  pF3 0F AE /1
  wrfsbase  nyx  pF3 0F AE /2
  wrgsbase  nyx  pF3 0F AE /3
  prefetchnta  m8  0F 18 /0
  prefetcht0  m8   0F 18 /1
  prefetcht1  m8   0F 18 /2
  prefetcht2  m8   0F 18 /3
  prefetchw  m8    0F 0D /1
  lfence  -  0F AE E8
  mfence  -  0F AE F0
  sfence  -  0F AE F8
  clflush  m8  0F AE /7
  clflushopt  m8  p66 0F AE /7
  clwb  m8  p66 0F AE /6
  fxsave  m      0F AE /0
  fxrstor  m     0F AE /1
  fxsave64  m    w 0F AE /0
  fxrstor64  m   w 0F AE /1
  ldmxcsr  m32   0F AE /2
  stmxcsr  m32   0F AE /3
  xsave  m       0F AE /4
  xrstor  m      0F AE /5
  xsave64  m     w 0F AE /4
  xrstor64  m    w 0F AE /5
`;

/** The rows of every integer and system instruction. */
export function integerRows(): string {
  return [
    PLAIN,
    ...ARITHMETIC.map(arithmeticRows),
    ...SHIFTS.map(shiftRows),
    ...BIT_TESTS.map(bitTestRows),
    ...CONDITIONS.map(conditionRows),
  ].join('\n');
}
