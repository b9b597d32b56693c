; A Linux program, an ELF file of one segment (System V ABI, AMD64 supplement 4.1): opens /dev/mixer and sets the levels of the master and
; of PCM to 0 dB (Open Sound System Programmer's Guide, mixer): 100 % of the one, 74 % of the other, which amplifies above. Its status is 0 if both could be set.

BITS 64
ORG 0x400000

header:
        db 0x7f, "ELF", 2, 1, 1, 0
        dq 0
        dw 2, 62                ; executable, x86-64
        dd 1
        dq start
        dq program - header
        dq 0
        dd 0
        dw 64, 56, 1, 0, 0, 0
program:
        dd 1, 7                 ; load, read write execute
        dq 0
        dq header
        dq header
        dq end - header
        dq end - header
        dq 4096

start:
        mov eax, 2              ; open
        lea rdi, [rel mixer]
        mov esi, 2              ; O_RDWR
        xor edx, edx
        syscall
        test eax, eax
        js fail
        mov ebx, eax
        mov esi, 0xc0044d00     ; SOUND_MIXER_WRITE_VOLUME
        mov ebp, 0x6464
        call set
        mov esi, 0xc0044d04     ; SOUND_MIXER_WRITE_PCM
        mov ebp, 0x4a4a
        call set
        xor edi, edi
exit:
        mov eax, 60
        syscall
fail:
        mov edi, 1
        jmp exit

set:
        mov [rel level], ebp
        mov eax, 16             ; ioctl
        mov edi, ebx
        lea rdx, [rel level]
        syscall
        test eax, eax
        js fail
        ret

mixer:  db "/dev/mixer", 0
        align 4
level:  dd 0
end:
