; x87 errors while CR0.NE is clear: FERR#, interrupt 13, port 0xf0 and IGNNE#; then with CR0.NE set: #MF.
; Result as in modes.asm: 0x10 through port 0xf4, or 0x40 + step.

  LOAD   equ 0x100000
  org LOAD
  bits 32

  STACK  equ 0x90000
  IRQ13  equ 0x2d

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
  mov eax, irq13
  mov edi, idt + 8 * IRQ13
  call gate
  mov eax, fault16
  mov edi, idt + 8 * 16
  call gate
  lidt [idt_pointer]
  mov al, 0x11                     ; the 8259 pair: vectors 0x20 and 0x28, all masked but 2 and 13
  out 0x20, al
  out 0xa0, al
  mov al, 0x20
  out 0x21, al
  mov al, 0x28
  out 0xa1, al
  mov al, 4
  out 0x21, al
  mov al, 2
  out 0xa1, al
  mov al, 1
  out 0x21, al
  out 0xa1, al
  mov al, 0xfb
  out 0x21, al
  mov al, 0xdf
  out 0xa1, al
  mov eax, cr0
  and eax, ~0x2c                   ; NE, EM, TS
  mov cr0, eax

  step 1                           ; the next waiting instruction waits for the interrupt
  mov dword [clears], 1
  call divide
  fnstsw ax                        ; does not wait
  test al, 0x80
  jz near fail
  expect dword [count], 0
  sti
  .wait1: fwait
  cli
  expect dword [count], 1
  expect dword [where], .wait1
  fnstsw ax
  test al, 0x80
  jnz near fail

  step 2                           ; the shadow of STI does not hold the interrupt back
  call divide
  sti
  .wait2: fld1
  cli
  expect dword [count], 2
  expect dword [where], .wait2

  step 3                           ; IGNNE#: the error stays and is ignored
  mov dword [clears], 0
  call divide
  sti
  fwait
  fwait
  fld1
  cli
  expect dword [count], 3
  fnstsw ax
  test al, 0x80
  jz near fail
  fnclex

  step 4                           ; until the next error
  mov dword [clears], 1
  call divide
  sti
  fwait
  cli
  expect dword [count], 4

  step 5                           ; with NE an exception, no interrupt
  mov eax, cr0
  or eax, 0x20
  mov cr0, eax
  call divide
  sti
  fwait
  cli
  expect dword [count], 4
  expect dword [faults], 1

  mov al, 0x10
  out 0xf4, al
  jmp fail

divide:                            ; leaves an unmasked division by zero pending
  fninit
  push dword 0x37b
  fldcw [esp]
  pop eax
  fld1
  fldz
  fdivp st1, st0
  ret

gate:
  mov [edi], ax
  mov word [edi + 2], 8
  mov word [edi + 4], 0x8e00
  shr eax, 16
  mov [edi + 6], ax
  ret

irq13:
  push eax
  inc dword [count]
  mov eax, [esp + 4]
  mov [where], eax
  xor eax, eax
  out 0xf0, al
  cmp dword [clears], 0
  je .end
  fnclex
  .end:
  mov al, 0x20
  out 0xa0, al
  out 0x20, al
  pop eax
  iret

fault16:
  inc dword [faults]
  fnclex
  iret

  align 8
gdt:
  dq 0
  dq 0x00cf9a000000ffff
  dq 0x00cf92000000ffff
gdt_pointer:
  dw 23
  dd gdt
idt_pointer:
  dw 0x7ff
  dd idt
step_number: db 0
  align 4
count: dd 0
where: dd 0
clears: dd 0
faults: dd 0
  align 8
idt:
  times 2048 db 0
image_end:
