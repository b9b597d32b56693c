; The shortest guest: says one character on the debug console and COM1, then asks for the exit. The benchmark of
; start-up time boots it.

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
  mov al, '!'
  mov dx, 0x402
  out dx, al
  mov dx, 0x3f8
  out dx, al
  mov al, 0x10
  out 0xf4, al
  .stop:
  cli
  hlt
  jmp .stop
image_end:
