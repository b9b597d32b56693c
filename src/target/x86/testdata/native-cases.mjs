// The instruction sequences that native.test.ts compares with a real processor: [assembly, flags that are defined after it].
const ALL = 0x8d5,
  CF = 1,
  PF = 4,
  AF = 0x10,
  ZF = 0x40,
  SF = 0x80,
  OF = 0x800;
const REGS64 = {
  1: ['al', 'cl', 'dl', 'bl', 'ah', 'r8b', 'r15b', 'bh'],
  2: ['ax', 'cx', 'dx', 'r9w'],
  4: ['eax', 'ecx', 'ebx', 'r10d'],
  8: ['rax', 'rcx', 'rdx', 'r11'],
};
const REGS32 = {
  1: ['al', 'cl', 'dl', 'bl', 'ah', 'ch', 'dh', 'bh'],
  2: ['ax', 'cx', 'dx', 'bx'],
  4: ['eax', 'ecx', 'ebx', 'ebp'],
};
let bits = 64;
let REGS = REGS64;
const PTR = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' };
let SIZES = [1, 2, 4, 8];

let seed = 99;
const rnd = (n) => {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) % n;
};
const pick = (list) => list[rnd(list.length)];
const imm = (size) =>
  pick(
    size === 1
      ? [0, 1, -1, 0x7f, -128, 0x55]
      : [0, 1, -1, 0x7f, 0x1234, -128, ...(size > 2 ? [0x12345678, -0x80000000] : [])],
  );
const reg = (size) => pick(REGS[size]);
const legal = (text) =>
  (bits === 64 ||
    !/\br[a-z0-9]+\b(?<!\b(?:rep|repe|repne|ret|rol|ror|rcl|rcr|rdi|rsi|rsp|rbp))|qword|[a-z]+sq\b|movsxd|\b(cdqe|cqo|popfq|pushfq|cmpxchg16b|jrcxz|endbr64)\b|\b[sd]il\b|rel x/.test(
      text,
    )) &&
  !(/\b[abcd]h\b/.test(text) && /\br(8|9|1[0-5])|\b(sil|dil|spl|bpl)\b|\br[a-d]x\b|qword/.test(text));

function* single() {
  for (const name of ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp', 'test']) {
    const mask = ['and', 'or', 'xor', 'test'].includes(name) ? ALL & ~AF : ALL;
    for (const s of SIZES) {
      yield [`${name} ${reg(s)}, ${reg(s)}`, mask];
      yield [`${name} ${PTR[s]} [rdi+8], ${reg(s)}`, mask];
      if (name !== 'test') yield [`${name} ${reg(s)}, ${PTR[s]} [rdi+rbx*0+24]`, mask];
      yield [`${name} ${reg(s)}, ${imm(s)}`, mask];
      yield [`${name} ${PTR[s]} [rsi+4], ${imm(s)}`, mask];
      const r = reg(s);
      yield [`${name} ${r}, ${r}`, mask];
    }
  }
  for (const name of ['inc', 'dec', 'neg', 'not']) {
    for (const s of SIZES) {
      yield [`${name} ${reg(s)}`, ALL];
      yield [`${name} ${PTR[s]} [rdi]`, ALL];
    }
  }
  for (const name of ['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr']) {
    const rotate = name[0] === 'r';
    for (const s of SIZES) {
      yield [`${name} ${reg(s)}, 1`, rotate ? ALL : ALL & ~AF];
      for (const n of [2, 5, s * 8 - 1])
        yield [`${name} ${reg(s)}, ${n}`, rotate ? ALL & ~OF : ALL & ~AF & ~OF];
      yield [`${name} ${PTR[s]} [rdi+3], ${s * 8 - 3}`, rotate ? ALL & ~OF : ALL & ~AF & ~OF];
      // A count beyond the width leaves CF undefined for SHL and SHR of 8 and 16 bits.
      const cl = rotate ? ALL & ~OF : s < 4 ? ALL & ~AF & ~OF & ~CF : ALL & ~AF & ~OF;
      yield [
        `and cl, ${s === 8 ? 63 : 31}\nmov eax, eax\n${name} ${s === 1 ? 'dl' : s === 2 ? 'dx' : s === 4 ? 'edx' : 'rdx'}, cl`,
        cl & ~AF,
      ];
      yield [`${name} ${PTR[s]} [rsi+8], cl`, cl & ~AF];
      yield [
        `add rax, rbx\nmov ecx, 0\n${name} ${s === 1 ? 'dl' : s === 2 ? 'dx' : s === 4 ? 'edx' : 'rdx'}, cl`,
        ALL,
      ];
    }
  }
  for (const name of ['shld', 'shrd']) {
    for (const s of SIZES.slice(1)) {
      for (const n of [1, 3, s * 8 - 1])
        yield [`${name} ${REGS[s][0]}, ${REGS[s][2]}, ${n}`, ALL & ~AF & ~OF];
      yield [`${name} ${PTR[s]} [rdi+8], ${REGS[s][2]}, 7`, ALL & ~AF & ~OF];
      yield [`and cl, 15\n${name} ${REGS[s][0]}, ${REGS[s][2]}, cl`, ALL & ~AF & ~OF];
      yield [`and cl, 15\n${name} ${PTR[s]} [rdi+8], ${REGS[s][2]}, cl`, ALL & ~AF & ~OF];
    }
  }
  for (const s of SIZES) {
    yield [`mul ${s === 1 ? 'bl' : s === 2 ? 'bx' : s === 4 ? 'ebx' : 'rbx'}`, CF | OF];
    yield [`mul ${PTR[s]} [rdi]`, CF | OF];
    yield [`imul ${s === 1 ? 'cl' : s === 2 ? 'cx' : s === 4 ? 'ecx' : 'rcx'}`, CF | OF];
    yield [`imul ${PTR[s]} [rdi]`, CF | OF];
    for (const name of ['div', 'idiv']) {
      const d = { 1: 'bl', 2: 'bx', 4: 'ebx', 8: 'rbx' }[s];
      yield [`${name} ${d}`, 0];
      yield [`${s === 1 ? 'movzx eax, al' : 'xor edx, edx'}\n${name} ${PTR[s]} [rdi+16]`, 0];
      yield [`${{ 1: 'cbw', 2: 'cwd', 4: 'cdq', 8: 'cqo' }[s]}\n${name} ${d}`, 0];
      yield [`or ${d}, 1\n${s === 1 ? 'movzx eax, al' : 'and edx, 0'}\n${name} ${d}`, 0];
    }
    if (s > 1) {
      yield [`imul ${reg(s)}, ${reg(s)}`, CF | OF];
      yield [`imul ${reg(s)}, ${PTR[s]} [rdi+8]`, CF | OF];
      yield [`imul ${reg(s)}, ${reg(s)}, ${imm(s)}`, CF | OF];
      yield [`imul ${reg(s)}, ${PTR[s]} [rdi+8], 100`, CF | OF];
      for (const name of ['bt', 'bts', 'btr', 'btc']) {
        yield [`${name} ${REGS[s][0]}, ${REGS[s][2]}`, CF | ZF];
        yield [`${name} ${REGS[s][0]}, ${s * 8 - 2}`, CF | ZF];
        yield [`${name} ${PTR[s]} [rdi+32], 5`, CF | ZF];
        const index = { 2: 'ax', 4: 'eax', 8: 'rax' }[s];
        yield [
          `and eax, 0x1ff\nsub ${index}, 0x80\ncmp ecx, edx\n${name} ${PTR[s]} [rdi+0x40], ${index}`,
          CF | ZF,
        ];
      }
      yield [`bsf ${REGS[s][0]}, ${REGS[s][2]}`, ZF];
      yield [`bsr ${REGS[s][0]}, ${REGS[s][2]}`, ZF];
      yield [`bsr ${REGS[s][1]}, ${PTR[s]} [rdi+4]`, ZF];
      yield [`tzcnt ${REGS[s][0]}, ${REGS[s][2]}`, ZF | CF];
      yield [`lzcnt ${REGS[s][0]}, ${REGS[s][2]}`, ZF | CF];
      yield [`popcnt ${REGS[s][0]}, ${REGS[s][2]}`, ALL];
      yield [`popcnt ${REGS[s][1]}, ${PTR[s]} [rdi+4]`, ALL];
      yield [`movzx ${reg(s)}, ${pick(['bl', 'r9b', 'dl'])}`, ALL];
      yield [`movsx ${reg(s)}, ${pick(['bl', 'r9b', 'dl'])}`, ALL];
      yield [`movzx ${reg(s)}, byte [rdi]`, ALL];
      yield [`movsx ${reg(s)}, byte [rdi]`, ALL];
      if (s > 2) yield [`movzx ${reg(s)}, ${reg(2)}`, ALL];
      if (s > 2) yield [`movsx ${reg(s)}, ${reg(2)}`, ALL];
      if (s > 2) yield [`movsx ${reg(s)}, word [rdi+2]`, ALL];
      if (s > 2) yield [`bswap ${reg(s)}`, ALL];
      yield [`lea ${reg(s)}, [rax+rcx*4+0x123]`, ALL];
      yield [`lea ${reg(s)}, [eax+ecx*2-5]`, ALL];
      yield [`lea ${reg(s)}, [rdx*8+0x7fffffff]`, ALL];
      yield [`xchg ${reg(s)}, ${reg(s)}`, ALL];
      for (const cc of [
        'o',
        'no',
        'b',
        'ae',
        'e',
        'ne',
        'be',
        'a',
        's',
        'ns',
        'p',
        'np',
        'l',
        'ge',
        'le',
        'g',
      ]) {
        yield [`cmov${cc} ${reg(s)}, ${pick([reg(s), `${PTR[s]} [rdi+8]`])}`, ALL];
      }
    }
    yield [`xchg ${PTR[s]} [rdi], ${reg(s)}`, ALL];
    yield [`xadd ${REGS[s][0]}, ${REGS[s][2]}`, ALL];
    yield [`xadd ${REGS[s][1]}, ${REGS[s][1]}`, ALL];
    yield [`lock xadd ${PTR[s]} [rdi], ${reg(s)}`, ALL];
    yield [`cmpxchg ${REGS[s][3]}, ${REGS[s][2]}`, ALL];
    yield [`cmpxchg ${PTR[s]} [rdi+8], ${REGS[s][2]}`, ALL];
    yield [`mov ${REGS[s][0]}, ${PTR[s]} [rdi+8]\nlock cmpxchg ${PTR[s]} [rdi+8], ${REGS[s][2]}`, ALL];
    yield [`mov ${reg(s)}, ${reg(s)}`, ALL];
    yield [`mov ${reg(s)}, ${imm(s)}`, ALL];
    yield [`mov ${PTR[s]} [rdi+1], ${imm(s)}`, ALL];
    for (const name of ['movs', 'stos', 'lods', 'cmps', 'scas']) {
      const suffix = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' }[s];
      yield [`${name}${suffix}`, ALL];
      yield [`std\n${name}${suffix}\ncld`, ALL];
      if (name !== 'lods') yield [`mov ecx, 11\nrep ${name}${suffix}`, ALL];
      yield [`std\nmov ecx, 3\nadd rdi, 0x80\nrep ${name}${suffix}\ncld`, ALL];
      yield [`xor ecx, ecx\nrep ${name}${suffix}`, ALL];
    }
    for (const [from, to] of [
      [0xf0, 0x120],
      [0x103, 0xf0],
      [0x40, 0x180],
      [0xf0, 0xf0],
    ]) {
      const x = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' }[s];
      yield [`std\nmov ecx, 25\nlea rsi, [rdi+${from}]\nlea rdi, [rdi+${to}]\nrep movs${x}\ncld`, ALL];
      yield [`mov ecx, 25\nlea rsi, [rdi+${from}]\nlea rdi, [rdi+${to}]\nrep movs${x}`, ALL];
    }
    const suffix = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' }[s];
    yield [`mov ecx, 9\nlea rsi, [rdi]\nrepe cmps${suffix}`, ALL];
    yield [`mov ecx, 9\nmov qword [rdi+16], rax\nrepne scas${suffix}`, ALL];
  }
  for (const cc of ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g']) {
    yield [`set${cc} ${reg(1)}`, ALL];
    yield [`set${cc} byte [rdi+5]`, ALL];
    yield [`j${cc} x\nadd rax, 1\nx: mov ecx, edx`, 0];
  }
  yield* [
    ['movabs', 0],
    ['mov rax, 0x123456789abcdef0', ALL],
    ['movsxd rax, ecx', ALL],
    ['movsxd rdx, dword [rdi+8]', ALL],
    ['cbw', ALL],
    ['cwde', ALL],
    ['cdqe', ALL],
    ['cwd', ALL],
    ['cdq', ALL],
    ['cqo', ALL],
    ['lahf', ALL],
    ['sahf', ALL],
    ['clc', ALL],
    ['stc', ALL],
    ['cmc', ALL],
    ['add eax, ebx\ncmc', ALL],
    ['rol eax, 3\nstc', ALL & ~OF],
    ['push rax\npop rbx', ALL],
    ['push rsp\npop rbx', ALL],
    ['pop rsp', ALL],
    ['push qword [rdi]\npop qword [rdi+8]', ALL],
    ['push ax\npop bx', ALL],
    ['push 0x12345678\npop rcx', ALL],
    ['push -5\npop rcx', ALL],
    ['pushfq\npop rax\nand eax, 0x8d5', ALL & ~AF],
    ['and eax, 0x8d5\npush rax\npopfq', ALL],
    ['push rax\npop qword [rsp]', ALL],
    ['push qword [rsp-8]', ALL],
    ['enter 16, 0\nleave', ALL],
    ['enter 32, 0', ALL],
    ['mov rbp, rsp\nenter 32, 3', ALL],
    ['call x\nx: pop rax', ALL],
    ['lea rax, [rel x]\ncall rax\nadd ecx, 5\njmp y\nx: ret\ny:', ALL],
    ['lea rax, [rel x]\njmp rax\nadd ecx, 5\nx:', ALL],
    ['mov ecx, 5\nx: add eax, ecx\nloop x', ALL],
    ['mov ecx, 5\nx: add eax, 1\nloope x', ALL],
    ['mov ecx, 5\nx: sub eax, 1\nloopne x', ALL],
    ['xor ecx, ecx\njrcxz x\nadd eax, 5\nx:', ALL & ~AF],
    ['mov rcx, 0x100000000\njecxz x\nadd rax, 5\nx:', ALL],
    ['mov bl, 5\nmov rbx, rdi\nmov al, 9\nxlatb', ALL],
    ['cmpxchg8b [rdi]', ALL],
    ['mov eax, [rdi]\nmov edx, [rdi+4]\nlock cmpxchg8b [rdi]', ALL],
    ['cmpxchg16b [rdi]', ALL],
    ['mov rax, [rdi]\nmov rdx, [rdi+8]\nlock cmpxchg16b [rdi]', ALL],
    ['movnti [rdi], rax', ALL],
    ['movnti [rdi+4], ecx', ALL],
    ['movbe rax, [rdi]', ALL],
    ['movbe eax, [rdi]', ALL],
    ['movbe ax, [rdi]', ALL],
    ['movbe [rdi], rax', ALL],
    ['movbe [rdi], eax', ALL],
    ['movbe [rdi], ax', ALL],
    ['crc32 eax, bl', ALL],
    ['crc32 eax, bx', ALL],
    ['crc32 eax, ebx', ALL],
    ['crc32 rax, rbx', ALL],
    ['crc32 eax, dword [rdi]', ALL],
    ['adc eax, ebx\nadc ecx, edx', ALL],
    ['sub eax, ebx\nsbb ecx, edx', ALL],
    ['add eax, ebx\nadc rcx, 0', ALL],
    ['add eax, ebx\nsbb rcx, rcx', ALL],
    ['inc eax\nadc ebx, 0', ALL],
    ['dec eax\nsbb ebx, ecx', ALL],
    ['shl eax, 5\nadc ebx, 0', ALL],
    ['shr eax, 5\nadc ebx, 0', ALL],
    ['mul ebx\nadc ecx, 0', ALL],
    ['imul eax, ebx\nadc ecx, 0', ALL],
    ['bt eax, 5\nadc ecx, 0', ALL],
    ['rol eax, 5\nadc ecx, 0', ALL],
    ['ror ax, 5\nadc ecx, 0', ALL],
    ['rcl eax, 1\nrcl ebx, 1\nrcr cx, 1', ALL],
    ['neg eax\nsbb ebx, ebx', ALL],
    ['cmp eax, ebx\ninc ecx\nja x\nmov edx, 5\nx:', ALL],
    ['mov al, bl\nmov ah, cl\nadd al, ah', ALL],
    ['add ah, al\nadc al, ah', ALL],
    ['xchg al, ah', ALL],
    ['mov eax, eax', ALL],
    ['ud2', 0],
    ['nop', ALL],
    ['pause', ALL],
    ['prefetcht0 [rdi]', ALL],
    ['lfence', ALL],
    ['endbr64', ALL],
    ['nop dword [rax]', ALL],
    ['bsf eax, ecx\njz x\nadd edx, 1\nx:', 0],
    ['mov r8, gs', 0],
    ['mov eax, ds\nmov eax, ecx', ALL],
  ].filter(([text]) => !['movabs', 'mov r8, gs'].includes(text));
}

/** Flag effects: defined, undefined; the rest stays. */
const POOL = [
  [(s) => `add ${reg(s)}, ${reg(s)}`, ALL, 0, 0],
  [(s) => `sub ${reg(s)}, ${reg(s)}`, ALL, 0, 0],
  [(s) => `cmp ${reg(s)}, ${imm(s)}`, ALL, 0, 0],
  [(s) => `and ${reg(s)}, ${reg(s)}`, ALL & ~AF, AF, 0],
  [(s) => `xor ${reg(s)}, ${imm(s)}`, ALL & ~AF, AF, 0],
  [(s) => `test ${reg(s)}, ${reg(s)}`, ALL & ~AF, AF, 0],
  [(s) => `inc ${reg(s)}`, ALL & ~CF, 0, 0],
  [(s) => `dec ${reg(s)}`, ALL & ~CF, 0, 0],
  [(s) => `neg ${reg(s)}`, ALL, 0, 0],
  [(s) => `adc ${reg(s)}, ${reg(s)}`, ALL, 0, CF],
  [(s) => `sbb ${reg(s)}, ${imm(s)}`, ALL, 0, CF],
  [(s) => `shl ${reg(s)}, 1`, ALL & ~AF, AF, 0],
  [(s) => `shr ${reg(s)}, ${s * 4}`, ALL & ~AF & ~OF, AF | OF, 0],
  [(s) => `sar ${reg(s)}, 3`, ALL & ~AF & ~OF, AF | OF, 0],
  [(s) => `rol ${reg(s)}, 1`, CF | OF, 0, 0],
  [(s) => `ror ${reg(s)}, 3`, CF, OF, 0],
  [(s) => `rcl ${reg(s)}, 1`, CF | OF, 0, CF],
  [(s) => `rcr ${reg(s)}, 5`, CF, OF, CF],
  [(s) => `bt ${reg(Math.max(s, 2))}, 3`, CF, OF | SF | AF | PF, 0],
  [() => 'stc', CF, 0, 0],
  [() => 'clc', CF, 0, 0],
  [() => 'cmc', CF, 0, CF],
  [(s) => `mov ${reg(s)}, ${reg(s)}`, 0, 0, 0],
  [(s) => `mov ${reg(s)}, ${PTR[s]} [rdi+8]`, 0, 0, 0],
  [(s) => `mov ${PTR[s]} [rdi+16], ${reg(s)}`, 0, 0, 0],
  [(s) => `add ${PTR[s]} [rdi+24], ${reg(s)}`, ALL, 0, 0],
  [(s) => `lea ${reg(Math.max(s, 2))}, [rbx+rcx]`, 0, 0, 0],
  [(s) => `not ${reg(s)}`, 0, 0, 0],
  [() => `seta ${reg(1)}`, 0, 0, CF | ZF],
  [() => `setl ${reg(1)}`, 0, 0, SF | OF],
  [() => `setg ${reg(1)}`, 0, 0, SF | OF | ZF],
  [() => `setc ${reg(1)}`, 0, 0, CF],
  [() => `seto ${reg(1)}`, 0, 0, OF],
  [() => `setp ${reg(1)}`, 0, 0, PF],
  [() => `sets ${reg(1)}`, 0, 0, SF],
  [() => `setz ${reg(1)}`, 0, 0, ZF],
  [() => `setbe ${reg(1)}`, 0, 0, CF | ZF],
  [(s) => `cmovle ${reg(Math.max(s, 2))}, ${reg(Math.max(s, 2))}`, 0, 0, SF | OF | ZF],
  [(s) => `cmovns ${reg(Math.max(s, 2))}, ${reg(Math.max(s, 2))}`, 0, 0, SF],
  [() => `push rax\npop r12`, 0, 0, 0],
  [(s) => `xadd ${reg(s)}, ${reg(s)}`, ALL, 0, 0],
  [() => `movzx eax, bl`, 0, 0, 0],
  [() => 'cwde', 0, 0, 0],
  [() => 'jbe $+2', 0, 0, CF | ZF],
  [() => 'jmp $+2', 0, 0, 0],
  [() => 'lahf', 0, 0, ALL & ~OF],
];

function* sequences() {
  for (let n = 0; n < 400; n++) {
    const lines = [];
    let undefinedFlags = 0;
    const length = 2 + rnd(7);
    while (lines.length < length) {
      const [make, defines, undefines, needs] = pick(POOL);
      if (needs & undefinedFlags) continue;
      const text = make(pick(SIZES));
      if (!legal(text)) continue;
      lines.push(text);
      undefinedFlags = (undefinedFlags & ~defines) | undefines;
    }
    yield [lines.join('\n'), ALL & ~undefinedFlags];
  }
}

/** What only 32-bit code has. */
function* only32() {
  for (const name of ['daa', 'das']) {
    yield [name, ALL & ~OF];
    yield [`add al, bl\n${name}`, ALL & ~OF];
    yield [`sub al, 0x37\n${name}`, ALL & ~OF];
  }
  for (const name of ['aaa', 'aas']) {
    yield [name, CF | AF];
    yield [`add al, bl\n${name}`, CF | AF];
  }
  for (const n of [10, 16, 7, 255, 0]) yield [`aam ${n}`, SF | ZF | PF];
  for (const n of [10, 16, 7, 255]) yield [`aad ${n}`, SF | ZF | PF];
  for (const r of ['eax', 'ecx', 'ebp'])
    yield* [
      [`inc ${r}`, ALL],
      [`dec ${r}`, ALL],
      [`inc ${{ eax: 'ax', ecx: 'cx', ebp: 'bp' }[r]}`, ALL],
    ];
  yield* [
    ['db 0xd6', ALL],
    ['stc\ndb 0xd6', ALL],
    ['pushad\npop eax\npop ebx', ALL],
    ['pusha\npop ax\npop bx', ALL],
    ['sub esp, 64\npopad\nmov esp, 0x301800', ALL & ~AF],
    ['sub esp, 64\npopa\nmov esp, 0x301800', ALL & ~AF],
    ['push eax\npop ebx', ALL],
    ['push ax\npop bx', ALL],
    ['push 0x12345678\npop ecx', ALL],
    ['push word -2\npop cx', ALL],
    ['push dword [edi]\npop dword [edi+8]', ALL],
    ['push esp\npop ebx', ALL],
    ['pushf\npop ax\nand eax, 0x8d5', ALL & ~AF],
    ['pushfd\npop eax\nand eax, 0x8d5', ALL & ~AF],
    ['and eax, 0x8d5\npush eax\npopfd', ALL],
    ['lea ebx, [edi]\nmov eax, [ebx+ecx*0+4]', ALL],
    ['call x\nx: pop eax', ALL],
    ['mov eax, x\ncall eax\nadd ecx, 5\njmp y\nx: ret\ny:', ALL],
    ['push x\nret 0\nadd eax, 1\nx:', ALL],
    ['arpl ax, bx', ALL],
    ['arpl [edi], cx', ALL],
    ['enter 16, 0\nleave', ALL],
    ['mov ebp, esp\nenter 24, 3', ALL],
    ['bound eax, [edi]', ALL],
    ['mov dword [edi], -0x80000000\nmov dword [edi+4], 0x7fffffff\nbound eax, [edi]', ALL],
    ['mov ecx, 5\nx: add eax, ecx\nloop x', ALL],
    ['mov ecx, 5\na16 loop $', ALL],
    ['jecxz x\nadd eax, 5\nx:', 0],
    ['a16 jcxz x\nadd eax, 5\nx:', 0],
    ['lea ax, [bx+si+5]', ALL],
    ['lea eax, [bx+di-5]', ALL],
    ['lea eax, [bp+si]', ALL],
    ['lea eax, [bp+0x1234]', ALL],
    ['lea eax, [si]', ALL],
    ['lea ecx, [di+0x7f]', ALL],
    ['lea edx, [bx]', ALL],
    ['lea edx, [0x1234]', ALL],
    ['mov eax, [0x301010]', ALL],
    ['mov [0x301020], al', ALL],
    ['mov ax, [0x301010]', ALL],
    ['mov eax, [ebp*4+0]\nud2', 0],
    ['mov eax, [esi+edi*0]', ALL],
    ['cdq', ALL],
    ['cwde', ALL],
    ['cmpxchg8b [edi]', ALL],
    ['mov eax, [edi]\nmov edx, [edi+4]\ncmpxchg8b [edi]', ALL],
    ['rcl dword [edi], 5', ALL & ~OF],
    ['mul dword [edi]', CF | OF],
    ['xlatb', 0],
  ].filter(([text]) => text !== 'xlatb');
}

/** BMI1, BMI2, ADX, MOVBE and SHA. */
function* extensions() {
  const logic = ZF | SF | CF | OF;
  for (const s of SIZES.filter((size) => size >= 4)) {
    const [a, b, c, d] = REGS[s];
    const m = `${PTR[s]} [rdi+8]`;
    for (const r of [c, m]) {
      yield [`andn ${a}, ${b}, ${r}`, logic];
      for (const name of ['blsr', 'blsi', 'blsmsk']) yield [`${name} ${a}, ${r}`, logic];
      for (const name of ['shlx', 'shrx', 'sarx']) yield [`${name} ${a}, ${r}, ${b}`, ALL];
      yield [`bzhi ${a}, ${r}, ${b}`, logic];
      yield [`and ${b}, 0x3f3f\nbextr ${a}, ${r}, ${b}`, ZF | CF | OF];
      yield [`and ${b}, 0x3f\nbzhi ${a}, ${r}, ${b}`, logic];
      for (const name of ['pdep', 'pext']) yield [`${name} ${a}, ${b}, ${r}`, ALL];
      yield [`mulx ${a}, ${b}, ${r}`, ALL];
      yield [`rorx ${a}, ${r}, 13`, ALL];
      for (const name of ['adcx', 'adox']) yield [`${name} ${a}, ${r}`, ALL];
    }
    yield [`bextr ${c}, ${c}, ${b}`, ZF | CF | OF];
    yield [`blsr ${c}, ${c}`, logic];
    yield [`mulx ${b}, ${b}, ${c}`, ALL];
    yield [`andn ${b}, ${b}, ${b}\nadc ${a}, ${c}`, ALL];
    yield [`add ${a}, ${b}\nadcx ${c}, ${d}\nadox ${d}, ${a}\nadcx ${b}, ${c}\nadox ${a}, ${b}`, ALL];
    yield [`inc ${a}\nadox ${b}, ${c}\nadcx ${a}, ${d}\ndec ${c}`, ALL];
    yield [`rol ${a}, 3\nadcx ${b}, ${c}\nadox ${c}, ${a}`, ALL & ~OF];
  }
  for (const s of SIZES.filter((size) => size >= 2)) {
    yield [`movbe ${REGS[s][0]}, ${PTR[s]} [rdi+3]`, ALL];
    yield [`movbe ${PTR[s]} [rdi+5], ${REGS[s][1]}`, ALL];
  }
  if (bits === 64) yield* hashes();
}

/** xmm1 (and xmm0, xmm2) from general registers, the result back to them. */
function* hashes() {
  const load = (x, lo, hi) => `movq xmm${x}, ${lo}\npinsrq xmm${x}, ${hi}, 1\n`;
  const inputs = load(0, 'r8', 'r9') + load(1, 'rax', 'rcx') + load(2, 'rdx', 'rbx');
  const result = '\nmovq rax, xmm1\npextrq rcx, xmm1, 1';
  for (const name of ['sha1nexte', 'sha1msg1', 'sha1msg2', 'sha256msg1', 'sha256msg2'])
    yield [`${inputs}${name} xmm1, xmm2${result}`, ALL];
  yield [`${inputs}sha256rnds2 xmm1, xmm2, xmm0${result}`, ALL];
  for (let i = 0; i < 4; i++) yield [`${inputs}sha1rnds4 xmm1, xmm2, ${i}${result}`, ALL];
  yield [`${load(1, 'rax', 'rcx')}sha256msg1 xmm1, [rdi+16]${result}`, ALL];
}

/** Every case for 64- or 32-bit code; deterministic. */
export function nativeCases(mode = 64) {
  seed = 99;
  bits = mode;
  REGS = mode === 64 ? REGS64 : REGS32;
  SIZES = mode === 64 ? [1, 2, 4, 8] : [1, 2, 4];
  const all = [...single(), ...sequences(), ...extensions()].filter(([text]) =>
    text.split('\n').every(legal),
  );
  if (mode === 64) return all;
  const narrow = (text) => text.replace(/\br(?=([sd]i|[sb]p|bx|cx|dx|ax)\b)/g, 'e');
  return [...all.map(([text, mask]) => [narrow(text), mask]), ...only32()];
}
