; The guest of "lyrebird selftest": reports the processor, the memory and the speed it sees on COM1, checks a few
; results, then ends the machine through isa-debug-exit (port 0xf4: 0x10 passed, 0x11 failed) or, where there is none,
; by ACPI power-off. A multiboot image that enters 64-bit mode itself.

  LOAD    equ 0x100000
  org LOAD
  bits 32

  STACK   equ 0x90000
  TABLES  equ 0x70000
  SOURCE  equ 0x400000             ; 1 MiB to copy, and where to
  TARGET  equ 0x500000
  COPY    equ 0x100000
  CODE64  equ 8
  DATA    equ 0x10

%macro print 1
  lea rsi, [rel %%text]
  call puts
  jmp %%go
  %%text: db %1, 0
  %%go:
%endmacro

; Times a loop: doubles the number of rounds until it takes a tenth of a second, prints rounds per second / divisor.
%macro benchmark 2                 ; label of the loop (rcx = rounds), divisor
  lea rdi, [rel %1]
  mov r14, %2
  call measure
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

entry:
  cld
  mov esp, STACK
  mov esi, ebx                     ; multiboot information
  mov edi, TABLES                  ; identity map of the first GiB in 2 MiB pages
  mov ecx, 0x3000 / 4
  xor eax, eax
  rep stosd
  mov dword [TABLES], TABLES + 0x1003
  mov dword [TABLES + 0x1000], TABLES + 0x2003
  mov edi, TABLES + 0x2000
  mov eax, 0x83
  mov ecx, 512
  .page:
  mov [edi], eax
  add edi, 8
  add eax, 0x200000
  loop .page
  lgdt [gdt_pointer]
  mov eax, cr4
  or eax, 0x620                    ; PAE, OSFXSR, OSXMMEXCPT
  mov cr4, eax
  mov eax, TABLES
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x100
  wrmsr
  mov eax, cr0
  and eax, ~4                      ; no x87 emulation
  or eax, 0x80000002
  mov cr0, eax
  jmp CODE64:start

  align 8, db 0
gdt:
  dq 0
  dq 0x00af9b000000ffff
  dq 0x00cf93000000ffff
gdt_pointer:
  dw 23
  dd gdt

  bits 64
start:
  mov eax, DATA
  mov ss, ax
  mov ds, ax
  mov es, ax
  mov ebp, esi
  print `Lyrebird self-test\n`
  call processor
  call memory
  call calibrate
  call checks
  print `  integer     `
  benchmark integer_loop, 1000000
  print ` million iterations a second (multiply, add, xor, shift)\n`
  print `  calls       `
  benchmark call_loop, 1000000
  print ` million a second\n`
  print `  floating    `
  benchmark float_loop, 1000000
  print ` million iterations a second (SSE2 multiply and add)\n`
  print `  copy        `
  benchmark copy_loop, 1
  print ` MiB a second\n`
  mov al, 0x10
  cmp dword [rel failures], 0
  je .passed
  print `  result      FAILED\n`
  mov al, 0x11
  jmp finish
  .passed:
  print `  result      passed\n`
  mov al, 0x10
finish:
  out 0xf4, al
  mov dx, 0x604                    ; PM1a control of the PIIX4: SLP_EN with sleep type 0
  mov ax, 0x2000
  out dx, ax
  .stop:
  cli
  hlt
  jmp .stop

; ---------------------------------------------------------------------------------------------------------- output
putc:                              ; al
  push rdx
  push rax
  mov dx, 0x3fd
  .wait:
  in al, dx
  test al, 0x20
  jz .wait
  mov dx, 0x3f8
  pop rax
  out dx, al
  pop rdx
  ret

puts:                              ; rsi = text
  lodsb
  test al, al
  jz .done
  cmp al, 10
  jne .plain
  mov al, 13
  call putc
  mov al, 10
  .plain:
  call putc
  jmp puts
  .done: ret

decimal:                           ; rax
  mov rbx, 10
  xor ecx, ecx
  .digit:
  xor edx, edx
  div rbx
  push rdx
  inc ecx
  test rax, rax
  jnz .digit
  .out:
  pop rax
  add al, '0'
  call putc
  dec ecx
  jnz .out
  ret

; ------------------------------------------------------------------------------------------------ what the guest sees
processor:
  print `  processor   `
  xor eax, eax
  cpuid
  mov [rel text], ebx
  mov [rel text + 4], edx
  mov [rel text + 8], ecx
  mov byte [rel text + 12], 0
  lea rsi, [rel text]
  call puts
  mov eax, 0x80000000
  cpuid
  cmp eax, 0x80000004
  jb .end
  print `, `
  lea rdi, [rel text]
  mov r8d, 0x80000002
  .part:
  mov eax, r8d
  cpuid
  mov [rdi], eax
  mov [rdi + 4], ebx
  mov [rdi + 8], ecx
  mov [rdi + 12], edx
  add rdi, 16
  inc r8d
  cmp r8d, 0x80000005
  jb .part
  mov byte [rdi], 0
  lea rsi, [rel text]
  .space:                          ; the brand string may be padded in front
  cmp byte [rsi], ' '
  jne .brand
  inc rsi
  jmp .space
  .brand:
  call puts
  .end:
  print `\n`
  ret

memory:
  print `  memory      `
  xor eax, eax
  test dword [rbp], 0x40           ; Multiboot 3.3: is there a memory map?
  jz .none
  mov esi, [rbp + 48]
  mov ecx, [rbp + 44]
  add ecx, esi
  .entry:
  cmp esi, ecx
  jae .sum
  cmp dword [rsi + 20], 1          ; RAM
  jne .next
  add rax, [rsi + 12]
  .next:
  add esi, [rsi]
  add esi, 4
  jmp .entry
  .none:
  mov eax, [rbp + 8]               ; KiB above 1 MiB
  shl rax, 10
  .sum:
  add rax, 0xfffff                 ; the map leaves out what firmware keeps of the first MiB
  shr rax, 20
  call decimal
  print ` MiB\n`
  ret

; Counts the time stamp counter against channel 2 of the 8254 (1 193 182 Hz): 59 659 ticks are 50 ms.
calibrate:
  print `  clock       `
  in al, 0x61
  and al, 0xfc
  or al, 1                         ; gate on, speaker off
  out 0x61, al
  mov al, 0xb0                     ; channel 2, both bytes, mode 0
  out 0x43, al
  mov al, 59659 & 0xff
  out 0x42, al
  mov al, 59659 >> 8
  out 0x42, al
  rdtsc
  shl rdx, 32
  lea r8, [rdx + rax]
  .wait:
  in al, 0x61
  test al, 0x20
  jz .wait
  rdtsc
  shl rdx, 32
  add rax, rdx
  sub rax, r8
  imul rax, rax, 20
  mov [rel frequency], rax
  xor edx, edx
  mov rbx, 1000000
  div rbx
  call decimal
  print ` MHz time stamp counter\n`
  ret

; ----------------------------------------------------------------------------------------------------------- checks
checks:
  mov rcx, 1000
  call integer_loop
  mov rbx, 0x6506934c85b2a807
  cmp rax, rbx
  je .integer
  inc dword [rel failures]
  .integer:
  mov rcx, 1000
  call float_loop
  movq rax, xmm0
  mov rbx, 0x404fffffb38280d4
  cmp rax, rbx
  je .float
  inc dword [rel failures]
  .float:
  mov rdi, SOURCE
  mov ecx, COPY / 8
  mov rax, 0x0123456789abcdef
  .fill:
  mov [rdi], rax
  rol rax, 7
  add rax, rdi
  add rdi, 8
  dec ecx
  jnz .fill
  mov ecx, 1
  call copy_loop
  mov rsi, SOURCE
  mov rdi, TARGET
  mov ecx, COPY / 8
  repe cmpsq
  je .copy
  inc dword [rel failures]
  .copy:
  ret

; ------------------------------------------------------------------------------------------------------------ speed
measure:
  mov r12, 1                       ; rounds
  .again:
  rdtsc
  shl rdx, 32
  lea r13, [rdx + rax]
  push rdi
  mov rcx, r12
  call rdi
  pop rdi
  rdtsc
  shl rdx, 32
  add rax, rdx
  sub rax, r13                     ; ticks it took
  mov r13, rax
  mov rax, [rel frequency]
  xor edx, edx
  mov rbx, 10
  div rbx
  cmp r13, rax
  jae .enough
  add r12, r12
  jmp .again
  .enough:
  mov rax, r12                     ; rounds * ticks per second / ticks
  mul qword [rel frequency]
  div r13
  xor edx, edx
  div r14
  jmp decimal

integer_loop:
  mov rax, 0x2545f4914f6cdd1d
  mov rbx, rax
  .next:
  imul rax, rbx
  add rax, rcx
  mov rdx, rax
  shr rdx, 29
  xor rax, rdx
  dec rcx
  jnz .next
  ret

call_loop:
  call .leaf
  dec rcx
  jnz call_loop
  ret
  .leaf:
  push rbp
  mov rbp, rsp
  pop rbp
  ret

float_loop:
  movsd xmm0, [rel one]
  movsd xmm1, [rel factor]
  movsd xmm2, [rel one]
  .next:
  mulsd xmm0, xmm1
  addsd xmm0, xmm2
  dec rcx
  jnz .next
  ret

copy_loop:
  mov rdx, rcx
  .round:
  mov rsi, SOURCE
  mov rdi, TARGET
  mov ecx, COPY / 16
  .next:
  movdqa xmm0, [rsi]
  movdqa [rdi], xmm0
  add rsi, 16
  add rdi, 16
  dec ecx
  jnz .next
  dec rdx
  jnz .round
  ret

  align 8, db 0
one: dq 0x3ff0000000000000
factor: dq 0x3fef800000000000      ; 63/64: the sum tends to 64
frequency: dq 0
failures: dd 0
text: times 64 db 0
image_end:
