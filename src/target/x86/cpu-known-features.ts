/**
 * Features of real processors that users may name and that are not implemented: a model that has them loses them with a warning.
 * Places in the CPUID leaves: SDM Vol. 2A CPUID; AMD64 APM Vol. 3 appendix E. A name that FEATURE_BITS has as well is implemented.
 */
export const NOT_IMPLEMENTED: ReadonlySet<string> = new Set(
  [
    // 1 EDX, ECX
    'pn ds acpi tm ia64 pbe dtes64 monitor ds-cpl vmx smx est tm2 cid fma xtpr pdcm pcid dca movbe xsave avx f16c',
    // 7 EBX, ECX, EDX; 7.1 EAX
    'sgx bmi1 hle avx2 bmi2 rtm mpx avx512f avx512dq adx avx512ifma pcommit intel-pt avx512pf avx512er avx512cd',
    'sha-ni avx512bw avx512vl avx512vbmi pku waitpkg avx512vbmi2 gfni vaes vpclmulqdq avx512vnni avx512bitalg',
    'avx512-vpopcntdq bus-lock-detect cldemote movdiri movdir64b sgxlc pks avx512-4vnniw avx512-4fmaps fsrm',
    'avx512-vp2intersect md-clear serialize tsx-ldtrk arch-lbr amx-bf16 avx512-fp16 amx-tile amx-int8 stibp',
    'core-capability split-lock-detect ssbd avx-vnni avx512-bf16 xsaveopt xsavec xgetbv1 xsaves xfd',
    // 8000_0001 EDX, ECX
    'mmxext fxsr-opt 3dnowext 3dnow cmp-legacy svm extapic sse4a misalignsse osvw ibs xop skinit wdt lwp fma4 tce',
    'nodeid-msr tbm topoext perfctr-core perfctr-nb',
    // 8000_0008 EBX; 8000_000A EDX
    'clzero xsaveerptr wbnoinvd ibpb ibrs amd-stibp amd-ssbd virt-ssbd amd-no-ssb npt lbrv svm-lock nrip-save',
    'tsc-scale vmcb-clean flushbyasid decodeassists pause-filter pfthreshold avic v-vmsave-vmload vgif',
    // IA32_ARCH_CAPABILITIES beyond what `arch-capabilities` gives
    'rsba tsx-ctrl',
  ]
    .join(' ')
    .split(' '),
);

/** Bits of IA32_ARCH_CAPABILITIES that `arch-capabilities` brings: naming them changes nothing. */
export const WITH_ARCH_CAPABILITIES: ReadonlySet<string> = new Set(
  'rdctl-no ibrs-all skip-l1dfl-vmentry ssb-no mds-no pschange-mc-no taa-no'.split(' '),
);
