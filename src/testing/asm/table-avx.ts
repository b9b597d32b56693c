// AVX, AVX2, FMA, F16C, VAES, VPCLMULQDQ and GFNI, SDM Vol. 2. Columns as in table.ts; `vex.L.pp.map.W` in numbers.

import { EXTENSIONS, FLOAT, MMX_AND_SSE2, SSE4, SSE4_IMM, SSSE3 } from './table-simd.ts';

const hex = (value: number): string => value.toString(16).padStart(2, '0');

/** Instructions of those tables whose VEX form has two operands, or only 128 bits, or none. */
const TWO = /^(pabs[bwd]|ptest|phminposuw|aesimc|round|pcmp[ei]str|aeskeygen)/;
const SHORT = /^(phminposuw|aesimc|dppd|pcmp[ei]str|aeskeygen)/;
const OTHER = /^(pblendvb|blendvp[sd])$/;
/** The count is 128 bits long whatever the vector. */
const SHIFT = /^ps[rl][lar][wdq]$/;

/** Both lengths of an instruction with prefix 66. */
function both(name: string, map: number, op: number, imm: boolean): string[] {
  if (OTHER.test(name)) return [];
  return (SHORT.test(name) ? [0] : [0, 1]).map((l) => {
    const [reg, rm] = l ? ['y', SHIFT.test(name) ? 'xm128' : 'ym256'] : ['x', 'xm128'];
    const operands = [reg, ...(TWO.test(name) ? [] : [`v${reg}`]), rm, ...(imm ? ['i8'] : [])];
    return `v${name} ${operands.join()} vex.${l}.1.${map}.0 ${hex(op)} /r${imm ? ' ib' : ''}`;
  });
}

function arithmetic(name: string, op: number): string[] {
  const two = name === 'sqrt';
  const rows = [0, 1].flatMap((l) =>
    ['ps', 'pd'].map((type, pp) => {
      const [reg, rm] = l ? ['y', 'ym256'] : ['x', 'xm128'];
      return `v${name}${type} ${reg},${two ? '' : `v${reg},`}${rm} vex.${l}.${pp}.1.0 ${hex(op)} /r`;
    }),
  );
  return [
    ...rows,
    `v${name}ss x,vx,xm32 vex.0.2.1.0 ${hex(op)} /r`,
    `v${name}sd x,vx,xm64 vex.0.3.1.0 ${hex(op)} /r`,
  ];
}

const FUSED: readonly (readonly [string, number])[] = [
  ['fmaddsub', 0x96],
  ['fmsubadd', 0x97],
  ['fmadd', 0x98],
  ['fmsub', 0x9a],
  ['fnmadd', 0x9c],
  ['fnmsub', 0x9e],
];

function fused(): string[] {
  return FUSED.flatMap(([name, first]) =>
    ['132', '213', '231'].flatMap((order, n) =>
      ['s', 'd'].flatMap((type, w) => {
        const op = first + n * 16;
        const packed = [0, 1].map((l) => {
          const operands = l ? 'y,vy,ym256' : 'x,vx,xm128';
          return `v${name}${order}p${type} ${operands} vex.${l}.1.2.${w} ${hex(op)} /r`;
        });
        if (first < 0x98) return packed;
        const size = w ? 64 : 32;
        return [...packed, `v${name}${order}s${type} x,vx,xm${size} vex.0.1.2.${w} ${hex(op + 1)} /r`];
      }),
    ),
  );
}

function generated(): string[] {
  const rows: string[] = [];
  for (const [name, op] of Object.entries(MMX_AND_SSE2)) rows.push(...both(name, 1, op, false));
  for (const [name, op] of Object.entries(SSSE3)) rows.push(...both(name, 2, op, false));
  for (const [name, op] of Object.entries(SSE4)) rows.push(...both(name, 2, op, false));
  for (const [name, op] of Object.entries(SSE4_IMM)) rows.push(...both(name, 3, op, true));
  for (const [name, op] of Object.entries(FLOAT)) rows.push(...arithmetic(name, op));
  EXTENSIONS.forEach(([suffix, size], i) => {
    for (const [sign, base] of [
      ['s', 0x20],
      ['z', 0x30],
    ] as const) {
      rows.push(`vpmov${sign}x${suffix} x,xm${size} vex.0.1.2.0 ${hex(base + i)} /r`);
      rows.push(`vpmov${sign}x${suffix} y,xm${size * 2} vex.1.1.2.0 ${hex(base + i)} /r`);
    }
  });
  return [...rows, ...fused()];
}

const PLAIN = `
  vzeroupper  -  vex.0.0.1.0 77
  vzeroall    -  vex.1.0.1.0 77
  vmovups  x,xm128  vex.0.0.1.0 10 /r
  vmovups  y,ym256  vex.1.0.1.0 10 /r
  vmovups  m128,x   vex.0.0.1.0 11 /r
  vmovups  m256,y   vex.1.0.1.0 11 /r
  vmovaps  x,xm128  vex.0.0.1.0 28 /r
  vmovaps  y,ym256  vex.1.0.1.0 28 /r
  vmovaps  m128,x   vex.0.0.1.0 29 /r
  vmovaps  m256,y   vex.1.0.1.0 29 /r
  vmovdqu  x,xm128  vex.0.2.1.0 6F /r
  vmovdqu  y,ym256  vex.1.2.1.0 6F /r
  vmovdqu  m128,x   vex.0.2.1.0 7F /r
  vmovdqu  m256,y   vex.1.2.1.0 7F /r
  vmovdqa  x,xm128  vex.0.1.1.0 6F /r
  vmovdqa  y,ym256  vex.1.1.1.0 6F /r
  vmovdqa  m128,x   vex.0.1.1.0 7F /r
  vmovdqa  m256,y   vex.1.1.1.0 7F /r
  vmovd    x,rm32   vex.0.1.1.0 6E /r
  vmovd    rm32,x   vex.0.1.1.0 7E /r
  vpshufd  x,xm128,i8     vex.0.1.1.0 70 /r ib
  vpshufd  y,ym256,i8     vex.1.1.1.0 70 /r ib
  vpermq   y,ym256,i8     vex.1.1.3.1 00 /r ib
  vpermpd  y,ym256,i8     vex.1.1.3.1 01 /r ib
  vpermd   y,vy,ym256     vex.1.1.2.0 36 /r
  vpermps  y,vy,ym256     vex.1.1.2.0 16 /r
  vperm2f128   y,vy,ym256,i8  vex.1.1.3.0 06 /r ib
  vperm2i128   y,vy,ym256,i8  vex.1.1.3.0 46 /r ib
  vinsertf128  y,vy,xm128,i8  vex.1.1.3.0 18 /r ib
  vinserti128  y,vy,xm128,i8  vex.1.1.3.0 38 /r ib
  vextractf128 xm128,y,i8     vex.1.1.3.0 19 /r ib
  vextracti128 xm128,y,i8     vex.1.1.3.0 39 /r ib
  vbroadcastss y,xm32         vex.1.1.2.0 18 /r
  vbroadcastsd y,xm64         vex.1.1.2.0 19 /r
  vbroadcastf128 y,m128       vex.1.1.2.0 1A /r
  vpbroadcastb y,xm8          vex.1.1.2.0 78 /r
  vpbroadcastw y,xm16         vex.1.1.2.0 79 /r
  vpbroadcastd y,xm32         vex.1.1.2.0 58 /r
  vpbroadcastq y,xm64         vex.1.1.2.0 59 /r
  vpblendvb  x,vx,xm128,ix    vex.0.1.3.0 4C /r is4
  vpblendvb  y,vy,ym256,iy    vex.1.1.3.0 4C /r is4
  vblendvps  x,vx,xm128,ix    vex.0.1.3.0 4A /r is4
  vblendvps  y,vy,ym256,iy    vex.1.1.3.0 4A /r is4
  vblendvpd  x,vx,xm128,ix    vex.0.1.3.0 4B /r is4
  vblendvpd  y,vy,ym256,iy    vex.1.1.3.0 4B /r is4
  vmaskmovps x,vx,m128        vex.0.1.2.0 2C /r
  vmaskmovps y,vy,m256        vex.1.1.2.0 2C /r
  vmaskmovps m128,vx,x        vex.0.1.2.0 2E /r
  vmaskmovps m256,vy,y        vex.1.1.2.0 2E /r
  vpsrlvd  x,vx,xm128         vex.0.1.2.0 45 /r
  vpsrlvd  y,vy,ym256         vex.1.1.2.0 45 /r
  vpsllvq  y,vy,ym256         vex.1.1.2.1 47 /r
  vcvtph2ps x,xm64            vex.0.1.2.0 13 /r
  vcvtph2ps y,xm128           vex.1.1.2.0 13 /r
  vcvtps2ph xm64,x,i8         vex.0.1.3.0 1D /r ib
  vcvtps2ph xm128,y,i8        vex.1.1.3.0 1D /r ib
  vgf2p8mulb x,vx,xm128       vex.0.1.2.0 CF /r
  vgf2p8mulb y,vy,ym256       vex.1.1.2.0 CF /r
  vgf2p8affineqb    y,vy,ym256,i8  vex.1.1.3.1 CE /r ib
  vgf2p8affineinvqb y,vy,ym256,i8  vex.1.1.3.1 CF /r ib
  gf2p8mulb         x,xm128    p66 0F 38 CF /r
  gf2p8affineqb     x,xm128,i8 p66 0F 3A CE /r ib
  gf2p8affineinvqb  x,xm128,i8 p66 0F 3A CF /r ib`;

/** Rows of the VEX-encoded vector instructions and of GFNI. */
export function avxRows(): string {
  return [...generated(), PLAIN].join('\n');
}
