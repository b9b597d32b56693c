; Rewrites its own code in every way that a translator could miss, and checks that the next execution sees it.
; Result as in modes.asm: 0x10 through port 0xf4, or 0x40 + step.

  LOAD   equ 0x100000
  org LOAD
  bits 32

  STACK  equ 0x90000
  TABLES equ 0x80000
  PAGE   equ 0x200000              ; scratch pages for code
  ALIAS  equ 0x800000              ; the same pages at another address, once paging is on
  ROUNDS equ 20000                 ; enough for any tier to have compiled the loop

%macro step 1
  mov byte [step_number], %1
%endmacro

%macro expect 2
  cmp %1, %2
  jne near fail
%endmacro

header:                            ; Multiboot 0.6.96, 3.1
  dd 0x1badb002
  dd 0x00010000
  dd -(0x1badb002 + 0x00010000)
  dd header
  dd header
  dd image_end
  dd image_end
  dd entry

fail:
  mov al, [step_number]
  or al, 0x40
  out 0xf4, al
  .stop: hlt
  jmp .stop

entry:
  cld
  mov esp, STACK
  lgdt [gdt_pointer]
  jmp 8:.flat
  .flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax

  step 1                           ; the very next instruction
  mov byte [.target1 + 1], 7
  .target1: mov eax, 1
  expect eax, 7

  step 2                           ; an instruction later in the same straight line, twice
  mov ecx, 2
  .again2:
  mov [.target2 + 1], ecx
  nop
  nop
  .target2: mov eax, 99
  expect eax, ecx
  dec ecx
  jnz .again2

  step 3                           ; a hot loop whose body changes half-way
  xor eax, eax
  mov ecx, ROUNDS
  .loop3:
  .target3: add eax, 1
  cmp ecx, ROUNDS / 2
  jne .next3
  mov byte [.target3 + 2], 3
  .next3:
  dec ecx
  jnz .loop3
  expect eax, ROUNDS / 2 + 1 + 3 * (ROUNDS / 2 - 1)

  step 4                           ; a function on another page, called often, then replaced
  mov edi, PAGE
  mov dword [edi], 0xc3c08940      ; inc eax; mov eax, eax; ret
  xor eax, eax
  mov ecx, ROUNDS
  .loop4:
  call edi
  dec ecx
  jnz .loop4
  expect eax, ROUNDS
  mov byte [edi], 0x48             ; dec eax
  mov ecx, ROUNDS
  .loop4b:
  call edi
  dec ecx
  jnz .loop4b
  expect eax, 0

  step 5                           ; an instruction across a page boundary, changed on the second page only
  mov edi, PAGE + 0x1000 - 2
  mov byte [edi], 0xb8             ; mov eax, imm32; ret
  mov dword [edi + 1], 0x11223344
  mov byte [edi + 5], 0xc3
  call edi
  expect eax, 0x11223344
  mov byte [PAGE + 0x1000 + 2], 0x55
  call edi
  expect eax, 0x55223344
  mov byte [PAGE + 0x1000 - 1], 0x66
  call edi
  expect eax, 0x55223366

  step 6                           ; a string store over code that was executed
  mov edi, PAGE + 0x2000
  mov dword [edi], 0xc340c340
  xor eax, eax
  call edi
  mov esi, .code6
  mov ecx, .code6_end - .code6
  rep movsb
  call near dword [.page6]
  expect eax, 0x600d
  jmp .after6
  .page6: dd PAGE + 0x2000
  .code6: mov eax, 0x600d
  ret
  .code6_end:
  .after6:

  step 7                           ; a store right in front of a jump to it, many times, always other code
  mov ecx, 1000
  mov edi, PAGE + 0x3000
  .loop7:
  mov byte [edi], 0xb8
  mov [edi + 1], ecx
  mov byte [edi + 5], 0xc3
  call edi
  expect eax, ecx
  dec ecx
  jnz .loop7

  step 8                           ; data on the same page as running code must not disturb it
  mov edi, PAGE + 0x4000
  mov esi, .code8
  mov ecx, .code8_end - .code8
  rep movsb
  mov ebx, PAGE + 0x4800
  mov dword [ebx], 0
  mov ecx, ROUNDS
  mov eax, PAGE + 0x4000
  call eax
  expect dword [PAGE + 0x4800], ROUNDS
  jmp .after8
  .code8:
  inc dword [ebx]
  dec ecx
  jnz .code8
  ret
  .code8_end:
  .after8:

  step 9                           ; a change through another mapping of the page
  mov edi, TABLES
  mov ecx, 0x2000 / 4
  xor eax, eax
  rep stosd
  mov dword [TABLES], 0x83         ; 4 MiB pages: the first as it is
  mov dword [TABLES + 2*4], 0x83   ; ALIAS: the first again
  mov eax, cr4
  or eax, 0x10
  mov cr4, eax
  mov eax, TABLES
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  mov edi, PAGE
  mov dword [edi], 0xc3c08940
  xor eax, eax
  mov ecx, ROUNDS
  .loop9:
  call edi
  dec ecx
  jnz .loop9
  expect eax, ROUNDS
  mov byte [ALIAS + PAGE], 0x48
  call edi
  expect eax, ROUNDS - 1

  step 10                          ; a page mapped elsewhere: the address keeps, the code behind it changes
  mov dword [TABLES + 4], TABLES + 0x1000 + 3 ; 0x400000: through a page table
  mov dword [TABLES + 0x1000], PAGE + 0x5000 + 3
  mov dword [PAGE + 0x5000], 0x0001b8  + 0
  mov dword [PAGE + 0x5004], 0xc300    ; mov eax, 1; ret
  mov dword [PAGE + 0x6000], 0x0002b8
  mov dword [PAGE + 0x6004], 0xc300    ; mov eax, 2; ret
  mov edi, 0x400000
  call edi
  expect eax, 1
  mov dword [TABLES + 0x1000], PAGE + 0x6000 + 3
  invlpg [0x400000]
  call edi
  expect eax, 2
  mov dword [TABLES + 0x1000], PAGE + 0x5000 + 3
  mov eax, cr3
  mov cr3, eax
  call edi
  expect eax, 1

  mov al, 0x10
  out 0xf4, al
  .stop: hlt
  jmp .stop

step_number: dd 0
  align 8, db 0
gdt:
  dq 0
  dq 0x00cf9b000000ffff
  dq 0x00cf93000000ffff
gdt_pointer:
  dw 23
  dd gdt
image_end:
