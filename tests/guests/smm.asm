; System management mode on the board pc: the firmware's part (SMRAM, the command port) and the processor's (state, RSM).
; Result as in modes.asm: 0x10 through port 0xf4, or 0x40 + step.

  LOAD   equ 0x100000
  org LOAD
  bits 32

  STACK   equ 0x90000
  SMBASE  equ 0x30000              ; after reset
  SMRAM   equ 0xa0000
  LOG     equ 0x7000               ; what the handlers leave: count, revision, CR0, flags of the saved state
  REVISION_64 equ 0x20064

%macro step 1
  mov byte [step_number], %1
%endmacro

%macro expect 2
  cmp %1, %2
  jne near fail
%endmacro

%macro config 2                    ; the doubleword at offset %2 of PCI function %1 at port 0xcfc
  mov eax, 0x80000000 + (%1 << 8) + %2
  mov dx, 0xcf8
  out dx, eax
  mov dx, 0xcfc
%endmacro

%macro smram 1                     ; the i440FX's SMRAM register
  mov eax, 0x80000070
  mov dx, 0xcf8
  out dx, eax
  mov dx, 0xcfe
  mov al, %1
  out dx, al
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
  mov edi, idt
  mov eax, exception
  mov ecx, 32
  .gates:
  mov [edi], ax
  mov word [edi + 2], 8
  mov word [edi + 4], 0x8e00
  ror eax, 16
  mov [edi + 6], ax
  ror eax, 16
  add edi, 8
  dec ecx
  jnz .gates
  lidt [idt_pointer]

  step 1                           ; RSM outside is an undefined instruction
  mov dword [resume], .after_ud
  mov dword [vector_seen], 0
  rsm
  .after_ud:
  expect dword [vector_seen], 1

  step 2                           ; closed: video memory or nothing; open: RAM
  mov dword [LOG], 0
  smram 0x02
  mov dword [SMRAM + 0x8000], 0x12345678
  smram 0x4a
  mov dword [SMRAM + 0x8000], 0x87654321
  expect dword [SMRAM + 0x8000], 0x87654321
  smram 0x0a
  cmp dword [SMRAM + 0x8000], 0x87654321
  je near fail

  step 3                           ; without APMC_EN the command port raises nothing
  mov esi, first_handler
  mov edi, SMBASE + 0x8000
  mov ecx, first_handler_end - first_handler
  rep movsb
  config 0x0b, 0x58
  in eax, dx
  test eax, 1 << 25
  jnz near fail
  xor eax, eax
  out 0xb2, al
  expect dword [LOG], 0

  step 4                           ; the first SMI: state, revision, relocation
  config 0x0b, 0x58
  in eax, dx
  or eax, 1 << 25
  out dx, eax
  mov eax, 0x11111100
  mov ebx, 0x22222222
  mov ecx, 0x33333333
  mov edx, 0x44444444
  mov esi, 0x55555555
  mov edi, 0x66666666
  mov ebp, 0x77777777
  stc
  out 0xb2, al
  jnc near fail
  expect eax, 0x11111100
  expect ebx, 0x22222222
  expect ecx, 0x33333333
  expect edx, 0x44444444
  expect esi, 0x55555555
  expect edi, 0x66666666
  expect ebp, 0x77777777
  expect esp, STACK
  expect dword [LOG], 1
  expect dword [LOG + 4], REVISION_64
  test dword [LOG + 8], 0x80000001 ; CR0 in the handler
  jnz near fail
  test byte [LOG + 12], 1          ; the saved carry
  jz near fail
  mov eax, cr0
  test al, 1
  jz near fail

  step 5                           ; the second from SMRAM, which only the handler sees
  smram 0x4a
  mov esi, second_handler
  mov edi, SMRAM + 0x8000
  mov ecx, second_handler_end - second_handler
  rep movsb
  smram 0x0a
  mov eax, [SMRAM + 0x8000]
  cmp eax, [second_handler]
  je near fail
  mov ecx, 1000
  .many:
  mov al, 1
  out 0xb2, al
  dec ecx
  jnz .many
  expect dword [LOG], 1001
  expect dword [LOG + 16], SMRAM >> 4

  step 6                           ; the handler changes where and with what the program goes on
  mov eax, 0x00000002
  mov ebx, .moved
  out 0xb2, al
  jmp fail
  .moved:
  expect eax, 0xcafe0002

  step 7                           ; a halted processor stays halted, unless the handler says otherwise
  mov dword [0xfec00000], 0x15     ; input 2 of the I/O APIC, where the 8254 is, sends SMIs
  mov dword [0xfec00010], 0
  mov dword [0xfec00000], 0x14
  mov dword [0xfec00010], 0x0200
  mov eax, 3
  call start_timer
  cli
  hlt
  expect dword [LOG + 20], 2
  mov dword [LOG], 0

  step 8                           ; locked: nobody opens it again
  smram 0x1a
  smram 0x4a
  mov eax, [SMRAM + 0x8000]
  cmp eax, [second_handler]
  je near fail
  mov al, 1
  out 0xb2, al
  expect dword [LOG], 1

  mov al, 0x10
  out 0xf4, al
  jmp fail

start_timer:                       ; counter 0 of the 8254, once, 28 ms
  push eax
  mov al, 0x30
  out 0x43, al
  mov al, 0x80
  out 0x40, al
  out 0x40, al
  pop eax
  ret

exception:
  inc dword [vector_seen]
  push eax
  mov eax, [resume]
  mov [esp + 4], eax
  pop eax
  iret

  bits 16
first_handler:                     ; at SMBASE + 0x8000, flat data segments
  inc dword [LOG]
  mov eax, [cs:0xfefc]
  mov [LOG + 4], eax
  mov eax, cr0
  mov [LOG + 8], eax
  mov eax, [cs:0xff70]
  mov [LOG + 12], eax
  mov dword [cs:0xff00], SMRAM
  rsm
first_handler_end:

second_handler:
  inc dword [LOG]
  xor eax, eax
  mov ax, cs
  mov [LOG + 16], eax
  mov al, [cs:0xfff8]
  cmp al, 2
  jne .no_move
  mov eax, [cs:0xffe0]       ; saved RBX
  mov [cs:0xff78], eax       ; saved RIP
  mov word [cs:0xfffa], 0xcafe
  rsm
  .no_move:
  cmp al, 3
  jne .done
  test byte [cs:0xfec9], 1   ; halted
  jz .again                        ; too early
  inc dword [LOG + 20]
  cmp dword [LOG + 20], 2
  je .wake
  .again:                          ; once more, and goes on waiting
  mov al, 0x30
  out 0x43, al
  mov al, 0x80
  out 0x40, al
  out 0x40, al
  rsm
  .wake:
  mov byte [cs:0xfec9], 0
  .done:
  rsm
second_handler_end:
  bits 32

  align 8
gdt:
  dq 0
  dq 0x00cf9a000000ffff
  dq 0x00cf92000000ffff
gdt_pointer:
  dw 23
  dd gdt
idt_pointer:
  dw 255
  dd idt
step_number: db 0
  align 4
resume: dd 0
vector_seen: dd 0
idt:
  times 256 db 0
image_end:
