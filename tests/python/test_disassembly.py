"""Leaks that disassembly.py must find, and what is none. One instruction a line: its number is its
address. rdi points to a key, rsi is a length, r8 has a `Data`."""
import unittest

import disassembly
import x86

BRANCH, ADDRESS, JUMP = "a branch depends", "an address depends", "a jump depends"
CASES = {
    "a bit of the key": (BRANCH, "mov rax,QWORD PTR [rdi]; test al,0x1; je 3; ret"),
    "a length": (None, "test sil,0x1; je 2; ret"),
    "out of a vector": (BRANCH, "vmovdqu xmm0,XMMWORD PTR [rdi]; vmovq rax,xmm0; shr rax,0x3f; jne 4; ret"),
    "a mask of vectors": (
        BRANCH,
        "vmovdqu xmm0,XMMWORD PTR [rdi]; vpmovmskb eax,xmm0; test al,al; je 4; ret",
    ),
    "a test of vectors": (BRANCH, "vmovdqu ymm1,YMMWORD PTR [rdi]; vptest ymm1,ymm1; je 3; ret"),
    "masks": (BRANCH, "vpcmpeqb k1,zmm0,ZMMWORD PTR [rdi]; kortestq k1,k1; je 3; ret"),
    "a number through a vector": (None, "vmovq xmm0,rsi; vmovq rax,xmm0; test rax,rax; je 4; ret"),
    "a number through a mask": (None, "kmovq k1,rsi; kmovq rax,k1; test rax,rax; je 4; ret"),
    "a vector of zeros": (None, "vpxor xmm0,xmm0,xmm0; vmovq rax,xmm0; test rax,rax; je 4; ret"),
    "a vector that is added to": (
        BRANCH,
        "vmovdqu xmm0,XMMWORD PTR [rdi]; vpxor xmm1,xmm1,xmm1; vpternlogq xmm0,xmm1,xmm1,0x96; "
        "vmovq rax,xmm0; test rax,rax; je 6; ret",
    ),
    "a table": (
        ADDRESS,
        "movzx eax,BYTE PTR [rdi+0x3]; lea rcx,[rip+0x0]        # 100; mov al,BYTE PTR [rcx+rax*1]; ret",
    ),
    "a table of constants by a length": (
        None,
        "lea rcx,[rip+0x0]        # 100; mov rax,QWORD PTR [rcx+rsi*8]; test rax,rax; je 4; ret",
    ),
    "an address by a choice": (
        ADDRESS,
        "mov rax,QWORD PTR [rdi]; test al,al; mov ecx,0x10; cmovne rcx,rsi; mov dl,BYTE PTR [rdi+rcx*1]; ret",
    ),
    "a choice that is none of an address": (
        None,
        "mov rax,QWORD PTR [rdi]; test rax,rax; mov ecx,0x10; cmovne rcx,rsi; mov QWORD PTR [rdi],rcx; ret",
    ),
    "a carry": (BRANCH, "mov rax,QWORD PTR [rdi]; add rax,rax; sbb rcx,rcx; test rcx,rcx; je 5; ret"),
    "a flag that stays": (BRANCH, "cmp QWORD PTR [rdi],0x0; inc rsi; jb 3; ret"),
    "a secret on the stack": (
        BRANCH,
        "mov rax,QWORD PTR [rdi]; mov QWORD PTR [rsp-0x8],rax; mov rcx,QWORD PTR [rsp-0x8]; "
        "test rcx,rcx; je 5; ret",
    ),
    "a length on the stack": (
        None,
        "sub rsp,0x28; mov QWORD PTR [rsp+0x8],rsi; mov rcx,QWORD PTR [rsp+0x8]; test rcx,rcx; je 5; ret",
    ),
    "a vector over a length on the stack": (
        BRANCH,
        "mov QWORD PTR [rsp-0x8],rsi; vmovdqu xmm0,XMMWORD PTR [rdi]; vmovdqu XMMWORD PTR [rsp-0x10],xmm0; "
        "mov rcx,QWORD PTR [rsp-0x8]; test rcx,rcx; je 6; ret",
    ),
    "an array that is written by an index": (
        BRANCH,
        "vmovdqu XMMWORD PTR [rsp-0x80],xmm0; vmovdqu XMMWORD PTR [rsp-0x70],xmm0; "
        "mov QWORD PTR [rsp-0x68],rsi; vmovdqu xmm0,XMMWORD PTR [rdi]; shl rsi,0x4; "
        "vmovdqu XMMWORD PTR [rsp+rsi*1-0x80],xmm0; "
        "mov rcx,QWORD PTR [rsp-0x68]; test rcx,rcx; je 9; ret",
    ),
    "on one of two ways": (
        BRANCH,
        "mov rax,rsi; test rsi,rsi; je 4; mov rax,QWORD PTR [rdi]; test rax,rax; je 6; ret",
    ),
    "in a loop, the second time": (
        BRANCH,
        "mov rax,rsi; test rax,rax; je 5; mov rax,QWORD PTR [rdi]; jmp 1; ret",
    ),
    "a mask of a store": (
        "a mask of an access",
        "vpcmpeqb k1,zmm0,ZMMWORD PTR [rdi]; vmovdqu8 ZMMWORD PTR [rdi]{k1},zmm0; ret",
    ),
    "a mask by a length": (None, "kmovq k1,rsi; vmovdqu8 ZMMWORD PTR [rdi]{k1},zmm0; ret"),
    "what a Data has": (
        None,
        "mov rax,QWORD PTR [r8]; mov rcx,QWORD PTR [r8+0x10]; mov dl,BYTE PTR [rax+rcx*1]; ret",
    ),
    "the data itself": (BRANCH, "mov rax,QWORD PTR [r8]; mov al,BYTE PTR [rax]; test al,al; je 4; ret"),
    "a gather": ("where a vector says", "vpgatherdd ymm0,DWORD PTR [rdi+ymm1*4],ymm2; ret"),
    "a division": ("a division", "mov rax,QWORD PTR [rdi]; xor edx,edx; div rsi; ret"),
    "a jump": (JUMP, "mov rax,QWORD PTR [rdi]; jmp rax"),
    "a call": ("calls memcmp", "call 100; ret"),
    "a panic": (None, "call 200"),
    "what nobody knows": ("is not known here", "cpuid; ret"),
    "what is never reached": ("is not reached", "ret; mov rax,rsi"),
}


class Text(x86.Program):
    def __init__(self, text):
        lines = [f"{n:x}:\t{line}" for n, line in enumerate(text.split("; "))]
        self.names = {0: "libkms::arch::gcm::kernel", 0x100: "memcmp", 0x200: "core::panicking::panic"}
        self.pointers, self.constants = {}, {0x100}
        self.code = {0: [x86.Instruction(line) for line in lines]}


class Leaks(unittest.TestCase):
    def test_each_is_found_and_nothing_else(self):
        for name, (expected, text) in CASES.items():
            with self.subTest(name):
                found = disassembly.findings(Text(text), 0, "r8")
                self.assertEqual(len(found), 1 if expected else 0, found)
                self.assertTrue(all(expected in f for f in found), found)


if __name__ == "__main__":
    unittest.main()
