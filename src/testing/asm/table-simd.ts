// MMX, SSE to SSE4.2, AES and PCLMULQDQ, SDM Vol. 2. Columns as in table-integer.ts.

/** Integer operations that exist for MMX (np 0F op) and SSE2 (66 0F op) registers alike. */
export const MMX_AND_SSE2: Readonly<Record<string, number>> = {
  punpcklbw: 0x60,
  punpcklwd: 0x61,
  punpckldq: 0x62,
  packsswb: 0x63,
  pcmpgtb: 0x64,
  pcmpgtw: 0x65,
  pcmpgtd: 0x66,
  packuswb: 0x67,
  punpckhbw: 0x68,
  punpckhwd: 0x69,
  punpckhdq: 0x6a,
  packssdw: 0x6b,
  pcmpeqb: 0x74,
  pcmpeqw: 0x75,
  pcmpeqd: 0x76,
  psrlw: 0xd1,
  psrld: 0xd2,
  psrlq: 0xd3,
  paddq: 0xd4,
  pmullw: 0xd5,
  psubusb: 0xd8,
  psubusw: 0xd9,
  pminub: 0xda,
  pand: 0xdb,
  paddusb: 0xdc,
  paddusw: 0xdd,
  pmaxub: 0xde,
  pandn: 0xdf,
  pavgb: 0xe0,
  psraw: 0xe1,
  psrad: 0xe2,
  pavgw: 0xe3,
  pmulhuw: 0xe4,
  pmulhw: 0xe5,
  psubsb: 0xe8,
  psubsw: 0xe9,
  pminsw: 0xea,
  por: 0xeb,
  paddsb: 0xec,
  paddsw: 0xed,
  pmaxsw: 0xee,
  pxor: 0xef,
  psllw: 0xf1,
  pslld: 0xf2,
  psllq: 0xf3,
  pmuludq: 0xf4,
  pmaddwd: 0xf5,
  psadbw: 0xf6,
  psubb: 0xf8,
  psubw: 0xf9,
  psubd: 0xfa,
  psubq: 0xfb,
  paddb: 0xfc,
  paddw: 0xfd,
  paddd: 0xfe,
};

/** SSSE3: 0F 38 op, for both register files. */
export const SSSE3: Readonly<Record<string, number>> = {
  pshufb: 0x00,
  phaddw: 0x01,
  phaddd: 0x02,
  phaddsw: 0x03,
  pmaddubsw: 0x04,
  phsubw: 0x05,
  phsubd: 0x06,
  phsubsw: 0x07,
  psignb: 0x08,
  psignw: 0x09,
  psignd: 0x0a,
  pmulhrsw: 0x0b,
  pabsb: 0x1c,
  pabsw: 0x1d,
  pabsd: 0x1e,
};

/** 66 0F 38 op on xmm, xmm/m128. */
export const SSE4: Readonly<Record<string, number>> = {
  pblendvb: 0x10,
  blendvps: 0x14,
  blendvpd: 0x15,
  ptest: 0x17,
  pmuldq: 0x28,
  pcmpeqq: 0x29,
  packusdw: 0x2b,
  pcmpgtq: 0x37,
  pminsb: 0x38,
  pminsd: 0x39,
  pminuw: 0x3a,
  pminud: 0x3b,
  pmaxsb: 0x3c,
  pmaxsd: 0x3d,
  pmaxuw: 0x3e,
  pmaxud: 0x3f,
  pmulld: 0x40,
  phminposuw: 0x41,
  aesimc: 0xdb,
  aesenc: 0xdc,
  aesenclast: 0xdd,
  aesdec: 0xde,
  aesdeclast: 0xdf,
};

/** 66 0F 3A op ib on xmm, xmm/m128, imm8. */
export const SSE4_IMM: Readonly<Record<string, number>> = {
  roundps: 0x08,
  roundpd: 0x09,
  blendps: 0x0c,
  blendpd: 0x0d,
  pblendw: 0x0e,
  dpps: 0x40,
  dppd: 0x41,
  mpsadbw: 0x42,
  pclmulqdq: 0x44,
  pcmpestrm: 0x60,
  pcmpestri: 0x61,
  pcmpistrm: 0x62,
  pcmpistri: 0x63,
  aeskeygenassist: 0xdf,
};

/** Packed and scalar arithmetic in all four precisions: ps, pd, ss, sd. */
export const FLOAT: Readonly<Record<string, number>> = {
  sqrt: 0x51,
  add: 0x58,
  mul: 0x59,
  sub: 0x5c,
  min: 0x5d,
  div: 0x5e,
  max: 0x5f,
};

const COMPARE_PREDICATES = ['eq', 'lt', 'le', 'unord', 'neq', 'nlt', 'nle', 'ord'];

/** pmovsx and pmovzx: suffix → memory size in bits; their codes are 20+i and 30+i. */
export const EXTENSIONS: readonly (readonly [string, number])[] = [
  ['bw', 64],
  ['bd', 32],
  ['bq', 16],
  ['wd', 64],
  ['wq', 32],
  ['dq', 64],
];

const hex = (value: number): string => value.toString(16).padStart(2, '0');

function generated(): string[] {
  const rows: string[] = [];
  const each = (table: Readonly<Record<string, number>>, row: (name: string, op: string) => string): void => {
    for (const [name, op] of Object.entries(table)) rows.push(row(name, hex(op)));
  };
  each(MMX_AND_SSE2, (name, op) => `${name} mm,mmm 0F ${op} /r\n${name} x,xm128 p66 0F ${op} /r`);
  each(SSSE3, (name, op) => `${name} mm,mmm 0F 38 ${op} /r\n${name} x,xm128 p66 0F 38 ${op} /r`);
  each(SSE4, (name, op) => `${name} x,xm128 p66 0F 38 ${op} /r`);
  each(SSE4_IMM, (name, op) => `${name} x,xm128,i8 p66 0F 3A ${op} /r ib`);
  each(FLOAT, (name, op) =>
    [
      `${name}ps x,xm128 0F ${op} /r`,
      `${name}pd x,xm128 p66 0F ${op} /r`,
      `${name}ss x,xm32 pF3 0F ${op} /r`,
      `${name}sd x,xm64 pF2 0F ${op} /r`,
    ].join('\n'),
  );
  COMPARE_PREDICATES.forEach((name, i) => {
    rows.push(`cmp${name}ps x,xm128 0F C2 /r ${hex(i)}`, `cmp${name}pd x,xm128 p66 0F C2 /r ${hex(i)}`);
    rows.push(`cmp${name}ss x,xm32 pF3 0F C2 /r ${hex(i)}`, `cmp${name}sd x,xm64 pF2 0F C2 /r ${hex(i)}`);
  });
  EXTENSIONS.forEach(([suffix, size], i) => {
    rows.push(`pmovsx${suffix} x,xm${size} p66 0F 38 ${hex(0x20 + i)} /r`);
    rows.push(`pmovzx${suffix} x,xm${size} p66 0F 38 ${hex(0x30 + i)} /r`);
  });
  return rows;
}

const PLAIN = `
  movd  mm,rm32    0F 6E /r
  movd  rm32,mm    0F 7E /r
  movd  x,rm32     p66 0F 6E /r
  movd  rm32,x     p66 0F 7E /r
  movq  mm,mmm     0F 6F /r
  movq  mmm,mm     0F 7F /r
  movq  mm,rm64    w 0F 6E /r
  movq  rm64,mm    w 0F 7E /r
  movq  x,xm64     pF3 0F 7E /r
  movq  xm64,x     p66 0F D6 /r
  movq  x,rm64     p66 w 0F 6E /r
  movq  rm64,x     p66 w 0F 7E /r
  movups  x,xm128  0F 10 /r
  movups  xm128,x  0F 11 /r
  movupd  x,xm128  p66 0F 10 /r
  movupd  xm128,x  p66 0F 11 /r
  movss  x,xm32    pF3 0F 10 /r
  movss  xm32,x    pF3 0F 11 /r
  movsd  x,xm64    pF2 0F 10 /r
  movsd  xm64,x    pF2 0F 11 /r
  movaps  x,xm128  0F 28 /r
  movaps  xm128,x  0F 29 /r
  movapd  x,xm128  p66 0F 28 /r
  movapd  xm128,x  p66 0F 29 /r
  movdqa  x,xm128  p66 0F 6F /r
  movdqa  xm128,x  p66 0F 7F /r
  movdqu  x,xm128  pF3 0F 6F /r
  movdqu  xm128,x  pF3 0F 7F /r
  movntps  m128,x  0F 2B /r
  movntpd  m128,x  p66 0F 2B /r
  movntdq  m128,x  p66 0F E7 /r
  movntq  m64,mm   0F E7 /r
  movntdqa  x,m128  p66 0F 38 2A /r
  lddqu  x,m128    pF2 0F F0 /r
  movhlps  x,nx    0F 12 /r
  movlhps  x,nx    0F 16 /r
  movlps  x,m64    0F 12 /r
  movlps  m64,x    0F 13 /r
  movhps  x,m64    0F 16 /r
  movhps  m64,x    0F 17 /r
  movlpd  x,m64    p66 0F 12 /r
  movlpd  m64,x    p66 0F 13 /r
  movhpd  x,m64    p66 0F 16 /r
  movhpd  m64,x    p66 0F 17 /r
  movddup  x,xm64    pF2 0F 12 /r
  movsldup  x,xm128  pF3 0F 12 /r
  movshdup  x,xm128  pF3 0F 16 /r
  movdq2q  mm,nx   pF2 0F D6 /r
  movq2dq  x,nmm   pF3 0F D6 /r
  movmskps  r32,nx  0F 50 /r
  movmskpd  r32,nx  p66 0F 50 /r
  pmovmskb  r32,nmm  0F D7 /r
  pmovmskb  r32,nx   p66 0F D7 /r
  maskmovq  mm,nmm     0F F7 /r
  maskmovdqu  x,nx     p66 0F F7 /r
  unpcklps  x,xm128  0F 14 /r
  unpcklpd  x,xm128  p66 0F 14 /r
  unpckhps  x,xm128  0F 15 /r
  unpckhpd  x,xm128  p66 0F 15 /r
  punpcklqdq  x,xm128  p66 0F 6C /r
  punpckhqdq  x,xm128  p66 0F 6D /r
  andps  x,xm128   0F 54 /r
  andpd  x,xm128   p66 0F 54 /r
  andnps  x,xm128  0F 55 /r
  andnpd  x,xm128  p66 0F 55 /r
  orps  x,xm128    0F 56 /r
  orpd  x,xm128    p66 0F 56 /r
  xorps  x,xm128   0F 57 /r
  xorpd  x,xm128   p66 0F 57 /r
  rsqrtps  x,xm128  0F 52 /r
  rsqrtss  x,xm32   pF3 0F 52 /r
  rcpps  x,xm128    0F 53 /r
  rcpss  x,xm32     pF3 0F 53 /r
  ucomiss  x,xm32  0F 2E /r
  ucomisd  x,xm64  p66 0F 2E /r
  comiss  x,xm32   0F 2F /r
  comisd  x,xm64   p66 0F 2F /r
  cmpps  x,xm128,i8  0F C2 /r ib
  cmppd  x,xm128,i8  p66 0F C2 /r ib
  cmpss  x,xm32,i8   pF3 0F C2 /r ib
  cmpsd  x,xm64,i8   pF2 0F C2 /r ib
  shufps  x,xm128,i8  0F C6 /r ib
  shufpd  x,xm128,i8  p66 0F C6 /r ib
  addsubps  x,xm128  pF2 0F D0 /r
  addsubpd  x,xm128  p66 0F D0 /r
  haddps  x,xm128  pF2 0F 7C /r
  haddpd  x,xm128  p66 0F 7C /r
  hsubps  x,xm128  pF2 0F 7D /r
  hsubpd  x,xm128  p66 0F 7D /r
  cvtpi2ps  x,mmm64   0F 2A /r
  cvtpi2pd  x,mmm64   p66 0F 2A /r
  cvttps2pi  mm,xm64  0F 2C /r
  cvttpd2pi  mm,xm128  p66 0F 2C /r
  cvtps2pi  mm,xm64   0F 2D /r
  cvtpd2pi  mm,xm128  p66 0F 2D /r
  cvtsi2ss  x,rmy   pF3 0F 2A /r
  cvtsi2sd  x,rmy   pF2 0F 2A /r
  cvttss2si  ry,xm32  pF3 0F 2C /r
  cvttsd2si  ry,xm64  pF2 0F 2C /r
  cvtss2si  ry,xm32   pF3 0F 2D /r
  cvtsd2si  ry,xm64   pF2 0F 2D /r
  cvtps2pd  x,xm64   0F 5A /r
  cvtpd2ps  x,xm128  p66 0F 5A /r
  cvtss2sd  x,xm32   pF3 0F 5A /r
  cvtsd2ss  x,xm64   pF2 0F 5A /r
  cvtdq2ps  x,xm128  0F 5B /r
  cvtps2dq  x,xm128  p66 0F 5B /r
  cvttps2dq  x,xm128  pF3 0F 5B /r
  cvttpd2dq  x,xm128  p66 0F E6 /r
  cvtdq2pd  x,xm64   pF3 0F E6 /r
  cvtpd2dq  x,xm128  pF2 0F E6 /r
  pshufw  mm,mmm,i8    0F 70 /r ib
  pshufd  x,xm128,i8   p66 0F 70 /r ib
  pshufhw  x,xm128,i8  pF3 0F 70 /r ib
  pshuflw  x,xm128,i8  pF2 0F 70 /r ib
  psrlw  nmm,i8  0F 71 /2 ib
  psraw  nmm,i8  0F 71 /4 ib
  psllw  nmm,i8  0F 71 /6 ib
  psrld  nmm,i8  0F 72 /2 ib
  psrad  nmm,i8  0F 72 /4 ib
  pslld  nmm,i8  0F 72 /6 ib
  psrlq  nmm,i8  0F 73 /2 ib
  psllq  nmm,i8  0F 73 /6 ib
  psrlw  nx,i8   p66 0F 71 /2 ib
  psraw  nx,i8   p66 0F 71 /4 ib
  psllw  nx,i8   p66 0F 71 /6 ib
  psrld  nx,i8   p66 0F 72 /2 ib
  psrad  nx,i8   p66 0F 72 /4 ib
  pslld  nx,i8   p66 0F 72 /6 ib
  psrlq  nx,i8   p66 0F 73 /2 ib
  psrldq  nx,i8  p66 0F 73 /3 ib
  psllq  nx,i8   p66 0F 73 /6 ib
  pslldq  nx,i8  p66 0F 73 /7 ib
  pinsrw  mm,m16,i8   0F C4 /r ib
  pinsrw  mm,n32,i8   0F C4 /r ib
  pinsrw  x,m16,i8    p66 0F C4 /r ib
  pinsrw  x,n32,i8    p66 0F C4 /r ib
  pextrw  r32,nmm,i8  0F C5 /r ib
  pextrw  r32,nx,i8   p66 0F C5 /r ib
  pextrw  m16,x,i8    p66 0F 3A 15 /r ib
  pextrb  m8,x,i8     p66 0F 3A 14 /r ib
  pextrb  n32,x,i8    p66 0F 3A 14 /r ib
  pextrd  rm32,x,i8   p66 0F 3A 16 /r ib
  pextrq  rm64,x,i8   p66 w 0F 3A 16 /r ib
  extractps  rm32,x,i8  p66 0F 3A 17 /r ib
  pinsrb  x,m8,i8     p66 0F 3A 20 /r ib
  pinsrb  x,n32,i8    p66 0F 3A 20 /r ib
  insertps  x,xm32,i8  p66 0F 3A 21 /r ib
  pinsrd  x,rm32,i8   p66 0F 3A 22 /r ib
  pinsrq  x,rm64,i8   p66 w 0F 3A 22 /r ib
  roundss  x,xm32,i8  p66 0F 3A 0A /r ib
  roundsd  x,xm64,i8  p66 0F 3A 0B /r ib
  palignr  mm,mmm,i8   0F 3A 0F /r ib
  palignr  x,xm128,i8  p66 0F 3A 0F /r ib
  pblendvb  x,xm128,x0  p66 0F 38 10 /r
  blendvps  x,xm128,x0  p66 0F 38 14 /r
  blendvpd  x,xm128,x0  p66 0F 38 15 /r
`;

/** The rows of every MMX and SSE instruction. */
export function simdRows(): string {
  return [PLAIN, ...generated()].join('\n');
}
