; Walks through every mode of an x86 processor and checks each one: 32-bit protected mode (as the multiboot loader
; leaves it), 16-bit protected, real, "unreal", ring 3, paging, virtual 8086, hardware task switches, PAE, long mode,
; compatibility mode, and back to real mode.
;
; Progress goes to the debug console (port 0x402) and to COM1. The result goes to isa-debug-exit at port 0xf4: 0x10 for
; success (exit status 0x21), 0x40 + step for the step that failed. The command-line word "nolimits" leaves out the
; checks of segment limits, which some emulators do not make.
;
; SDM Vol. 3A: chapters 3 and 5 (segmentation, protection), 4 (paging), 6 (interrupts), 7 (tasks), 9.8 and 9.9 (mode
; switches), 20 (8086 emulation).

  LOAD     equ 0x100000            ; where the multiboot loader puts this file
  BASE     equ 0x10000             ; where it runs: within reach of real mode, one segment
  org BASE
  bits 32

  CODE32   equ 0x08
  DATA32   equ 0x10
  CODE16   equ 0x18
  DATA16   equ 0x20
  CODE64   equ 0x28
  USER32   equ 0x33
  USERDATA equ 0x3b
  TSS_A    equ 0x40
  TSS_B    equ 0x48
  SMALL    equ 0x50
  DOWN     equ 0x58
  GATE     equ 0x60
  TSS64    equ 0x68
  ABSENT   equ 0x78

  STACK    equ 0x3f000             ; grows down
  STACK0   equ 0x3d000             ; ring 0 stack after a change of privilege
  STACK_B  equ 0x3c000             ; the second task's
  STACK_IST equ 0x3b000
  TABLES   equ 0x40000             ; page tables, 16 pages
  FRAME    equ 0x51000             ; a page of data that is mapped elsewhere
  IDT64    equ 0x60000
  MAGIC    equ 0x4c797265

%macro step 2                      ; number, name
  mov byte [step_number], %1
  mov esi, %%name
  call puts32
  jmp %%go
  %%name: db %2, 10, 0
  %%go:
%endmacro

%macro expect 2                    ; 32-bit code: operand, value
  cmp %1, %2
  jne near fail32
%endmacro

; Runs the code up to "caught" and expects it to fault with this vector and error code.
%macro faults 2                    ; vector, error code
  mov dword [expected], %1
  mov dword [expected_error], %2
%endmacro

%macro caught 1                    ; label
  jmp near fail32
  %1:
%endmacro

header:                            ; Multiboot 0.6.96, 3.1: bit 16 says that the addresses below are valid
  dd 0x1badb002
  dd 0x00010000
  dd -(0x1badb002 + 0x00010000)
  dd LOAD
  dd LOAD
  dd LOAD + image_end - BASE
  dd LOAD + image_end - BASE
  dd LOAD + entry - BASE

entry:                             ; runs at LOAD; everything after runs at BASE
  cld
  test dword [ebx], 4              ; Multiboot 3.3: is there a command line?
  jz .no_words
  mov esi, [ebx + 16]
  .word:
  cmp dword [esi], 'noli'
  je .no_limits
  inc esi
  cmp byte [esi - 1], 0
  jne .word
  jmp .no_words
  .no_limits:
  inc dword [no_limits - BASE + LOAD]
  .no_words:
  mov esi, LOAD
  mov edi, BASE
  mov ecx, image_end - BASE
  rep movsb
  mov eax, start
  jmp eax

puts32:                            ; esi = text
  push eax
  push edx
  .next:
  lodsb
  test al, al
  jz .done
  mov ah, al
  mov dx, 0x402
  out dx, al
  mov dx, 0x3fd
  mov ecx, 0x10000
  .wait:
  in al, dx
  test al, 0x20
  loopz .wait
  mov al, ah
  mov dx, 0x3f8
  out dx, al
  jmp .next
  .done:
  pop edx
  pop eax
  ret

fail32:
  mov esi, failed
  call puts32
  mov al, [step_number]
  or al, 0x40
  out 0xf4, al
  .stop: hlt
  jmp .stop

failed: db "FAILED", 10, 0

; ------------------------------------------------------------------------------------------- exceptions, 32-bit
  align 8
stubs32:
%rep 32
  call near fault32
  align 8
%endrep

fault32:                           ; DS may be null after ring 3 or virtual 8086 mode; SS is flat
  mov [ss:saved_eax], eax
  pop eax
  sub eax, stubs32 + 5
  shr eax, 3                       ; the vector
  mov dword [ss:error], 0
  bt dword [ss:with_error], eax
  jnc .no_error
  pop dword [ss:error]
  .no_error:
  mov ecx, [esp + 8]
  mov [ss:saved_eflags], ecx
  mov ecx, [esp + 4]
  mov [ss:saved_cs], ecx
  mov ecx, DATA32
  mov ds, ecx
  mov es, ecx
  mov fs, ecx
  mov gs, ecx
  mov ss, ecx
  mov esp, STACK
  cmp eax, [expected]
  jne near fail32
  mov eax, [error]
  cmp eax, [expected_error]
  jne near fail32
  mov dword [expected], -1
  jmp [resume]

service32:                         ; int 0x30: doubles eax
  add eax, eax
  iretd

leave_user:                        ; int 0x31: from ring 3 or virtual 8086 mode back to the main program
  mov [ss:saved_eax], eax
  mov eax, [esp + 8]
  mov [ss:saved_eflags], eax
  mov eax, [esp + 4]
  mov [ss:saved_cs], eax
  mov eax, [esp + 12]
  mov [ss:saved_esp], eax
  mov eax, DATA32
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  mov esp, STACK
  jmp [resume]

gate_target:                       ; the call gate's: one parameter copied to this stack
  mov eax, [esp + 8]
  mov ecx, cs
  and ecx, 3
  lea eax, [eax + eax*2]
  add eax, ecx
  retf 4

; ---------------------------------------------------------------------------------------------------- the program
start:
  lgdt [gdt_pointer]
  jmp CODE32:flat
flat:
  mov eax, DATA32
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  mov esp, STACK
  mov edi, TABLES
  mov ecx, 0x10000 / 4
  xor eax, eax
  rep stosd
  mov edi, idt32                   ; fill in the gates: selector CODE32, present, 32-bit interrupt gate
  mov eax, stubs32
  mov ecx, 32
  .gate:
  mov [edi], ax
  mov word [edi + 2], CODE32
  mov word [edi + 4], 0x8e00
  mov edx, eax
  shr edx, 16
  mov [edi + 6], dx
  add edi, 8
  add eax, 8
  loop .gate
  lidt [idt_pointer]
  mov ax, TSS_A
  ltr ax

  step 1, "32-bit protected mode"
  mov eax, 21
  int 0x30
  expect eax, 42
  mov dword [resume], .ud
  faults 6, 0
  ud2
  caught .ud
  mov dword [resume], .np
  faults 11, ABSENT
  mov eax, ABSENT
  mov fs, eax
  caught .np
  str ax
  expect ax, TSS_A

  step 2, "segment limits"
  mov eax, SMALL
  mov fs, eax
  mov eax, [fs:12]                 ; the last dword inside the limit
  cmp dword [no_limits], 0
  jne .unchecked
  mov dword [resume], .beyond
  faults 13, 0
  mov eax, [fs:13]
  caught .beyond
  mov eax, DOWN
  mov fs, eax
  mov eax, [fs:0x1000]
  mov dword [resume], .below
  faults 13, 0
  mov eax, [fs:0xfff]
  caught .below
  .unchecked:
  lsl eax, word [small_selector]
  expect eax, 15
  lar eax, word [small_selector]
  expect eax, 0x0000f300 & ~0x6000

  step 3, "ring 3"
  mov dword [resume], user_back
  push dword USERDATA
  push dword STACK - 0x800
  push dword 0x202
  push dword USER32
  push dword user_code
  iretd
user_code:
  mov eax, USERDATA
  mov ds, eax
  push dword 5
  call GATE | 3:0                  ; eax = 3 * 5 + ring of the gate's code
  int 0x31
user_back:
  expect dword [saved_eax], 15
  expect dword [saved_cs], USER32
  expect dword [saved_esp], STACK - 0x800
  mov dword [resume], no_port
  faults 13, 0
  push dword USERDATA
  push dword STACK - 0x800
  push dword 0x002
  push dword USER32
  push dword user_port
  iretd
user_port:
  in al, 0x61                      ; I/O privilege level 0, no permission bitmap
  jmp near fail32
no_port:

  step 4, "16-bit protected mode"
  jmp CODE16:protected16 - BASE
  bits 16
protected16:
  mov ax, DATA16
  mov ds, ax
  mov ss, ax
  mov sp, 0xfff0
  push ax
  cmp sp, 0xffee
  jne near fail16
  pop cx
  cmp cx, DATA16
  jne near fail16
  mov eax, 0x12345678              ; operand-size prefix in a 16-bit segment
  push eax
  pop bx
  pop cx
  cmp bx, 0x5678
  jne near fail16
  mov bx, small_data - BASE
  mov si, 4
  cmp dword [bx + si], MAGIC
  jne near fail16
  mov eax, DATA32                  ; a 32-bit address from 16-bit code
  mov es, ax
  mov edi, small_data
  cmp dword [es:edi + 4], MAGIC
  jne near fail16

  mov byte [step_number - BASE], 5
  mov si, name_real - BASE
  call puts16
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp 0x1000:real - BASE
real:
  mov ax, 0x1000
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov sp, 0xfff0
  lidt [ivt_pointer - BASE]
  call check_real
  mov ax, 0xffff                   ; the high memory area: needs A20, which the loader opened
  mov es, ax
  mov eax, [es:0x10]               ; linear 0x100000: this file's header
  cmp eax, 0x1badb002
  jne near fail16

  mov byte [step_number - BASE], 6
  mov si, name_unreal - BASE
  call puts16
  lgdt [gdt_pointer - BASE]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp near .inside
  .inside:
  mov bx, DATA32
  mov fs, bx
  and al, 0xfe
  mov cr0, eax
  jmp near .outside
  .outside:
  mov edi, LOAD
  cmp dword [fs:edi], 0x1badb002   ; FS kept its base and its 4 GiB limit
  jne near fail16

  mov eax, cr0                     ; straight from real mode into 32-bit code
  or al, 1
  mov cr0, eax
  jmp dword CODE32:again32

puts16:                            ; si = text in DS
  lodsb
  test al, al
  jz .done
  mov ah, al
  mov dx, 0x402
  out dx, al
  mov dx, 0x3fd
  xor cx, cx
  .wait:
  in al, dx
  test al, 0x20
  loopz .wait
  mov al, ah
  mov dx, 0x3f8
  out dx, al
  jmp puts16
  .done: ret

fail16:
  mov si, failed - BASE
  call puts16
  mov al, [step_number - BASE]
  or al, 0x40
  out 0xf4, al
  .stop: hlt
  jmp .stop

; Software interrupts through the vector table, segment arithmetic, wrap-around of 16-bit offsets.
check_real:
  push ds
  xor ax, ax
  mov ds, ax
  mov word [0x60*4], real_service - BASE
  mov word [0x60*4 + 2], 0x1000
  pop ds
  mov ax, 7
  stc
  int 0x60
  jnc near fail16                  ; IRET brought the flags back
  cmp ax, 14
  jne near fail16
  mov ax, 0x0fff                   ; 0x0fff:0x10 and 0x1000:0 are the same place
  mov es, ax
  mov eax, [es:0x10]
  cmp eax, [0]
  jne near fail16
  mov bx, 0xffff
  mov al, [bx + 1]                 ; offset 0x10000 wraps to 0
  cmp al, [0]
  jne near fail16
  ret

real_service:
  add ax, ax
  clc
  iret

; --------------------------------------------------------------------------------------------------------- paging
  bits 32
again32:
  mov eax, DATA32
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  mov ss, eax
  mov esp, STACK
  lidt [idt_pointer]

  step 7, "paging"
  mov edi, TABLES + 0x1000         ; a page table with the first 4 MiB as they are, for everybody
  mov eax, 7
  .entry:
  mov [edi], eax
  add edi, 4
  add eax, 0x1000
  cmp eax, 0x400000
  jb .entry
  mov dword [TABLES], TABLES + 0x1000 + 7
  mov dword [TABLES + 4], 0x83     ; 0x400000: a 4 MiB page on physical 0
  mov dword [TABLES + 0x1000 + 0x50*4], FRAME + 3
  mov dword [TABLES + 0x1000 + 0x52*4], 0
  mov dword [TABLES + 0x1000 + 0x53*4], 0x53001
  mov dword [FRAME], MAGIC
  mov eax, cr4
  or eax, 0x10                     ; PSE
  mov cr4, eax
  mov eax, TABLES
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000               ; PG and WP
  mov cr0, eax
  expect dword [0x50000], MAGIC
  expect dword [0x400000 + FRAME], MAGIC
  mov eax, [TABLES + 0x1000 + 0x50*4]
  and eax, 0x60
  expect eax, 0x20                 ; accessed, not dirty
  mov dword [0x50004], 1
  mov eax, [TABLES + 0x1000 + 0x50*4]
  and eax, 0x60
  expect eax, 0x60
  mov dword [resume], .absent
  faults 14, 0
  mov eax, [0x52345]
  caught .absent
  mov eax, cr2
  expect eax, 0x52345
  mov dword [resume], .read_only
  faults 14, 3
  mov dword [0x53004], 1
  caught .read_only
  mov dword [TABLES + 0x1000 + 0x52*4], FRAME + 3
  invlpg [0x52000]
  expect dword [0x52000], MAGIC
  mov dword [resume], .straddle    ; a store that crosses into the read-only page must not change the page before it
  mov dword [0x52ffc], 0
  faults 14, 3
  mov dword [0x52ffe], -1
  caught .straddle
  expect dword [0x52ffc], 0

  step 8, "virtual 8086 mode"
  mov dword [resume], vm_hlt
  faults 13, 0
  push dword 0                     ; gs
  push dword 0                     ; fs
  push dword 0x1000                ; ds
  push dword 0x1000                ; es
  push dword 0x1000                ; ss
  push dword 0xe000                ; esp
  push dword 0x00020202            ; eflags: VM, IOPL 0
  push dword 0x1000                ; cs
  push dword vm_code - BASE
  iretd
  bits 16
vm_code:
  mov ax, 0x0fff
  mov es, ax
  mov eax, [es:0x10]               ; the header again
  hlt                              ; not for ring 3
  bits 32
vm_hlt:
  expect dword [saved_eax], 0x1badb002
  expect dword [saved_cs], 0x1000
  test dword [saved_eflags], 0x20000
  jz near fail32
  mov dword [resume], vm_int
  push dword 0
  push dword 0
  push dword 0x1000
  push dword 0x1000
  push dword 0x1000
  push dword 0xe000
  push dword 0x00023202            ; IOPL 3: INT n goes through the IDT
  push dword 0x1000
  push dword vm_code_2 - BASE
  iretd
  bits 16
vm_code_2:
  mov ax, sp
  pushf
  sub ax, sp
  shl eax, 16
  pop ax                           ; the flags as 8086 code sees them
  int 0x31
  bits 32
vm_int:
  mov eax, [saved_eax]
  and eax, 0xffff3000
  expect eax, 0x00023000
  expect dword [saved_esp], 0xe000

  step 9, "hardware task switch"
  mov dword [task_count], 0
  mov esi, MAGIC
  call TSS_B:0
  expect dword [task_count], 1
  expect esi, MAGIC                ; the registers are this task's own
  pushfd
  pop eax
  test eax, 0x4000
  jnz near fail32                  ; NT is clear again
  mov eax, cr0
  test al, 8
  jz near fail32                   ; TS is set
  clts
  str ax
  expect ax, TSS_A
  jmp TSS_B:0                      ; goes on after its IRET
  expect dword [task_count], 2
  clts
  mov dword [resume], .busy
  faults 13, TSS_A
  jmp TSS_A:0                      ; a busy task cannot be entered
  caught .busy

  step 10, "PAE paging"
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov eax, cr4
  and eax, ~0x10
  or eax, 0x20                     ; PAE
  mov cr4, eax
  mov dword [TABLES + 0x4000], TABLES + 0x5000 + 1
  mov dword [TABLES + 0x5000], 0x83
  mov dword [TABLES + 0x5000 + 8], TABLES + 0x6000 + 3
  mov dword [TABLES + 0x6000], FRAME + 3
  mov dword [TABLES + 0x6008], 0x52003
  mov dword [TABLES + 0x600c], 0x80000000 ; no execution
  mov byte [0x52000], 0xc3
  mov ecx, 0xc0000080              ; EFER
  rdmsr
  or eax, 0x800                    ; NXE
  wrmsr
  mov eax, TABLES + 0x4000
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  expect dword [0x200000], MAGIC
  expect byte [0x201000], 0xc3
  mov dword [resume], .no_execute
  faults 14, 0x11
  mov eax, 0x201000
  call eax
  caught .no_execute
  mov eax, cr2
  expect eax, 0x201000

  step 11, "long mode"
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov dword [TABLES + 0x7000], TABLES + 0x8000 + 3
  mov dword [TABLES + 0x7000 + 256*8], TABLES + 0x8000 + 3 ; the same at 0xffff800000000000
  mov dword [TABLES + 0x8000], TABLES + 0x9000 + 3
  mov dword [TABLES + 0x9000], 0x83
  mov edi, IDT64
  mov eax, stubs64
  mov ecx, 32
  .gate64:
  mov [edi], ax
  mov word [edi + 2], CODE64
  mov word [edi + 4], 0x8e00
  mov edx, eax
  shr edx, 16
  mov [edi + 6], dx
  mov dword [edi + 8], 0
  mov dword [edi + 12], 0
  add edi, 16
  add eax, 8
  loop .gate64
  mov eax, breakpoint64
  mov [IDT64 + 3*16], ax
  shr eax, 16
  mov [IDT64 + 3*16 + 6], ax
  mov byte [IDT64 + 3*16 + 4], 1   ; on the first stack of the interrupt stack table
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x100                    ; LME
  wrmsr
  mov eax, TABLES + 0x7000
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  rdmsr
  test eax, 0x400                  ; LMA
  jz near fail32
  lidt [idt64_pointer]
  jmp CODE64:long_mode

task_b:
  expect word [tss_b], TSS_A       ; the link back
  pushfd
  pop eax
  test eax, 0x4000                 ; NT
  jz near fail32
  mov esi, 0
  inc dword [task_count]
  iretd
  inc dword [task_count]
  jmp TSS_A:0

; ------------------------------------------------------------------------------------------------------ long mode
  bits 64
  align 8
stubs64:
%rep 32
  call near fault64
  align 8
%endrep

fault64:
  pop rax
  sub rax, stubs64 + 5
  shr rax, 3
  mov qword [error], 0
  bt dword [with_error], eax
  jnc .no_error
  pop qword [error]
  .no_error:
  mov rcx, [rsp + 8]
  mov [saved_cs], ecx
  mov rsp, STACK
  cmp eax, [expected]
  jne near fail64
  mov eax, [error]
  cmp eax, [expected_error]
  jne near fail64
  mov dword [expected], -1
  mov eax, [resume]
  jmp rax

breakpoint64:
  mov [saved_rsp], rsp
  iretq

fail64:
  mov rsi, failed
  call puts64
  mov al, [step_number]
  or al, 0x40
  out 0xf4, al
  .stop: hlt
  jmp .stop

puts64:
  lodsb
  test al, al
  jz .done
  mov ah, al
  mov dx, 0x402
  out dx, al
  mov dx, 0x3fd
  mov ecx, 0x10000
  .wait:
  in al, dx
  test al, 0x20
  loopz .wait
  mov al, ah
  mov dx, 0x3f8
  out dx, al
  jmp puts64
  .done: ret

long_mode:
  mov rsp, STACK
  mov ax, TSS64
  ltr ax
  mov r15, 0x123456789abcdef0
  mov r8, r15
  rol r8, 32
  mov rax, 0x9abcdef012345678
  cmp r8, rax
  jne near fail64
  mov eax, -1                      ; a 32-bit result clears the upper half
  mov rcx, 0xffffffff
  cmp rax, rcx
  jne near fail64
  mov rax, 0x100000001
  imul rax, rax
  mov rcx, 0x200000001
  cmp rax, rcx
  jne near fail64
  cmp dword [rel small_data + 4], MAGIC
  jne near fail64
  mov rbx, 0xffff800000000000 + FRAME
  cmp dword [rbx], MAGIC           ; the upper half of the address space
  jne near fail64
  int3
  mov rax, [saved_rsp]
  mov rcx, STACK_IST - 40
  cmp rax, rcx
  jne near fail64
  mov dword [resume], .canonical
  mov dword [expected], 13
  mov dword [expected_error], 0
  mov rbx, 0x0000800000000000
  mov rax, [rbx]
  jmp near fail64
  .canonical:
  mov dword [resume], .ud
  mov dword [expected], 6
  ud2
  jmp near fail64
  .ud:
  mov byte [step_number], 12
  mov rsi, name_compatibility
  call puts64
  push CODE32
  push compatibility
  o64 retf

  bits 32
compatibility:
  mov eax, DATA32
  mov ss, eax
  mov ds, eax
  mov es, eax
  mov esp, STACK
  mov eax, 5
  db 0x48                          ; DEC EAX here, a REX prefix in 64-bit code
  nop
  expect eax, 4
  mov ecx, esp
  push eax
  sub ecx, esp
  expect ecx, 4
  mov esp, STACK
  mov dword [resume], back64
  faults 6, 0
  ud2                              ; the handler is 64-bit code
  bits 64
back64:
  cmp dword [saved_cs], CODE32
  jne near fail64
  push CODE16                      ; a 16-bit segment of compatibility mode
  push compatibility16 - BASE
  o64 retf
  bits 16
compatibility16:
  mov ax, DATA16
  mov ds, ax
  cmp dword [small_data + 4 - BASE], MAGIC
  jne near fail16
  jmp dword CODE32:leave_long

; -------------------------------------------------------------------------------------------------- and back again
  bits 32
leave_long:
  mov eax, DATA32
  mov ds, eax
  mov ss, eax
  mov esp, STACK
  mov byte [step_number], 13
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov ecx, 0xc0000080
  rdmsr
  test eax, 0x400
  jnz near fail32                  ; LMA went with paging
  and eax, ~0x900
  wrmsr
  mov eax, cr4
  and eax, ~0x20
  mov cr4, eax
  mov esi, name_back
  call puts32
  jmp CODE16:to_real - BASE
  bits 16
to_real:
  mov ax, DATA16
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov ss, ax
  mov sp, 0xfff0
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  jmp 0x1000:real_again - BASE
real_again:
  mov ax, 0x1000
  mov ds, ax
  mov ss, ax
  mov sp, 0xfff0
  lidt [ivt_pointer - BASE]
  call check_real
  mov si, name_done - BASE
  call puts16
  mov al, 0x10
  out 0xf4, al
  .stop: hlt
  jmp .stop

; ------------------------------------------------------------------------------------------------------------ data
name_real: db "real mode", 10, 0
name_unreal: db "unreal mode", 10, 0
name_compatibility: db "compatibility mode", 10, 0
name_back: db "back to real mode", 10, 0
name_done: db "modes: all passed", 10, 0

  align 8, db 0
small_data: dd 0x11111111, MAGIC, 0, 0
small_selector: dw SMALL, 0
step_number: dd 0
no_limits: dd 0
expected: dd -1
expected_error: dd 0
resume: dd 0
error: dq 0
with_error: dd 0x00027d00          ; vectors 8, 10 to 14 and 17 push an error code
saved_eax: dd 0
saved_eflags: dd 0
saved_cs: dd 0
saved_esp: dd 0
saved_rsp: dq 0
task_count: dd 0

  align 8, db 0
gdt:
  dq 0
  dq 0x00cf9b000000ffff            ; 08 code, 32-bit, 4 GiB
  dq 0x00cf93000000ffff            ; 10 data
  dq 0x00009b010000ffff            ; 18 code, 16-bit, base 0x10000, 64 KiB
  dq 0x000093010000ffff            ; 20 data
  dq 0x00af9b000000ffff            ; 28 code, 64-bit
  dq 0x00cffb000000ffff            ; 30 code, ring 3
  dq 0x00cff3000000ffff            ; 38 data, ring 3
  dw 0x67, tss_a - BASE            ; 40 task A: base 0x1xxxx
  db 1, 0x89, 0, 0
  dw 0x67, tss_b - BASE            ; 48 task B
  db 1, 0x89, 0, 0
  dw 15, small_data - BASE         ; 50 data of 16 bytes
  db 1, 0x93, 0, 0
  dq 0x0040970000000fff            ; 58 data that grows down: offsets above 0xfff
  dw gate_target - BASE, CODE32    ; 60 call gate for ring 3 with one parameter
  db 1, 0xec
  dw 1
  dw 0x67, tss_long - BASE         ; 68 task state of long mode, 16 bytes
  db 1, 0x89, 0, 0
  dq 0
  dq 0x00cf13000000ffff            ; 78 data, not present
gdt_end:

gdt_pointer:
  dw gdt_end - gdt - 1
  dd gdt
ivt_pointer:
  dw 0x3ff
  dd 0
idt_pointer:
  dw 0x32*8 - 1
  dd idt32
idt64_pointer:
  dw 32*16 - 1
  dq IDT64

  align 8, db 0
idt32:
  times 0x30 dq 0
  dw service32 - BASE, CODE32, 0x8e00, 1
  dw leave_user - BASE, CODE32, 0xee00, 1 ; for ring 3 too

  align 8, db 0
tss_a:
  dd 0, STACK0, DATA32, 0, 0, 0, 0
  dd TABLES                        ; cr3: a task switch loads it and does not store it
  times 17 dd 0
  dd 0x00680000                    ; no I/O permission bitmap
tss_b:
  dd 0, STACK0, DATA32, 0, 0, 0, 0
  dd TABLES                        ; cr3
  dd task_b                        ; eip
  dd 2                             ; eflags
  dd 0, 0, 0, 0, STACK_B, 0, 0, 0  ; eax to edi
  dd DATA32, CODE32, DATA32, DATA32, DATA32, DATA32, 0
  dd 0x00680000
tss_long:
  dd 0
  dq STACK0, 0, 0, 0
  dq STACK_IST
  times 6 dq 0
  dq 0
  dd 0x00680000

image_end:
