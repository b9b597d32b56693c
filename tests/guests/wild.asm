; Misbehaves as the last letter of its command line says. The machine may reset, hang or go on; the emulator must not
; mind.

  LOAD equ 0x100000
  org LOAD
  bits 32

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
  mov esp, 0x90000
  lgdt [gdt_pointer]
  jmp 8:.flat
  .flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  lidt [no_idt]
  mov esi, [ebx + 16]
  .next:
  mov al, [esi]
  inc esi
  cmp byte [esi], 0
  jne .next
  cmp al, 't'
  je triple
  cmp al, 'm'
  je mmio
  cmp al, 'r'
  je off_ram
  cmp al, 'w'
  je wipe
  cmp al, 'p'
  je ports
  cmp al, 's'
  je stuck
  mov al, 0x11
  out 0xf4, al

triple:                            ; no gate for the breakpoint, none for the fault, none for the double fault
  int3

mmio:                              ; execute the local APIC's registers
  mov eax, 0xfee00000
  jmp eax

off_ram:                           ; execute where no RAM is
  mov eax, 0x7ffff000
  jmp eax

wipe:                              ; overwrite everything from here to 16 MiB with zeros, including this
  cld
  mov edi, LOAD
  mov ecx, (0x1000000 - LOAD) / 4
  xor eax, eax
  rep stosd
  int3

ports:                             ; every port, read and written in all widths, but for those that end the run
  xor edx, edx
  .port:
  cmp edx, 0xf4
  jb .not_exit
  cmp edx, 0xf8
  jb .skip
  .not_exit:
  cmp edx, 0x600
  jb .poke
  cmp edx, 0x640
  jb .skip
  .poke:
  in al, dx
  in ax, dx
  in eax, dx
  cmp edx, 0x64                    ; the keyboard controller and these two can reset the machine
  je .skip
  cmp edx, 0x92
  je .skip
  cmp edx, 0xcf9
  je .skip
  mov eax, 0xfffffff0
  out dx, al
  .skip:
  inc edx
  cmp edx, 0x10000
  jb .port
  mov al, 0x10
  out 0xf4, al

stuck:
  cli
  jmp stuck

  align 8, db 0
gdt:
  dq 0
  dq 0x00cf9b000000ffff
  dq 0x00cf93000000ffff
gdt_pointer:
  dw 23
  dd gdt
no_idt:
  dw 0
  dd 0
image_end:
