"""Programs of x86-64 (ELF) as objdump has them: functions, instructions, operands."""
import re
import struct
import subprocess

# Each name, what it is a part of, and its bytes.
REGISTERS = {}
for c in "abcd":
    REGISTERS |= {f"r{c}x": (f"r{c}x", 8), f"e{c}x": (f"r{c}x", 4), f"{c}x": (f"r{c}x", 2)}
    REGISTERS |= {f"{c}l": (f"r{c}x", 1), f"{c}h": (f"r{c}x", 1)}
for r in ("si", "di", "bp", "sp"):
    REGISTERS |= {f"r{r}": (f"r{r}", 8), f"e{r}": (f"r{r}", 4), r: (f"r{r}", 2), f"{r}l": (f"r{r}", 1)}
for n in range(8, 16):
    REGISTERS |= {f"r{n}{c}": (f"r{n}", size) for c, size in (("", 8), ("d", 4), ("w", 2), ("b", 1))}
for n in range(32):
    REGISTERS |= {f"{c}mm{n}": (f"v{n}", size) for c, size in (("x", 16), ("y", 32), ("z", 64))}
REGISTERS |= {f"k{n}": (f"k{n}", 8) for n in range(8)}
SIZES = {"BYTE": 1, "WORD": 2, "DWORD": 4, "QWORD": 8, "XMMWORD": 16, "YMMWORD": 32, "ZMMWORD": 64}

# Neither read nor written, whatever stands behind them.
NOTHING = {"nop", "endbr64", "vzeroupper", "ud2", "int3"}


class Memory:
    """[base+index*scale+offset], or the address that it comes to."""

    def __init__(self, text, comment):
        self.size = next((n for word, n in SIZES.items() if re.match(rf"{word} (PTR|BCST)", text)), 8)
        self.base = self.index = self.address = None
        self.offset = 0
        for sign, term in re.findall(r"([+-]?)([^+-]+)", re.search(r"\[(.*?)\]", text)[1]):
            if term == "rip":
                self.address = comment
            elif "*" in term:
                self.index = term.split("*")[0]
            elif term in REGISTERS:
                self.base, self.index = (term, self.index) if self.base is None else (self.base, term)
            else:
                offset = int(term, 16)
                self.offset += (-offset if sign == "-" else offset) - (offset >> 63 << 64)
        self.registers = [r for r in (self.base, self.index) if r]


class Instruction:
    def __init__(self, line):
        address, text = line.strip().split(":\t")
        text, _, comment = re.sub(r"^((data16|cs|ds|bnd|notrack) )+", "", text).partition("#")
        self.address, self.text = int(address, 16), " ".join(text.split())
        self.name, _, operands = self.text.partition(" ")
        if self.text == "xchg ax,ax":
            self.name = "nop"
        self.comment = int(comment.split()[0], 16) if comment else None
        self.operands, self.masks, self.merges = [], [], False
        for text in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", operands) if self.name not in NOTHING else []:
            self.masks += re.findall(r"\{(k\d)\}", text)
            self.merges |= "{k" in text and "{z}" not in text
            text = re.sub(r"\{.*?\}", "", text).strip()
            if "[" in text:
                self.operands.append(Memory(text, self.comment))
            else:
                self.operands.append(text if text in REGISTERS else int(text.split()[0], 16))


class Program:
    """Its symbols, and the instructions of functions whose name one of `functions` finds."""

    def __init__(self, path, functions):
        def run(*command):
            return subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout

        self.names, self.sizes, self.pointers, code, mine = {}, {}, {}, {}, None
        for line in run("nm", "--demangle", "--defined-only", "--print-size").splitlines():
            if m := re.match(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] (.*)", line):
                name = re.sub(r"(\.llvm\.\d+| \(\.llvm\.\d+\))$", "", re.sub(r"\[[0-9a-f]{16}\]", "", m[3]))
                self.names[int(m[1], 16)], self.sizes[int(m[1], 16)] = name, int(m[2], 16)
        for line in run("objdump", "--dynamic-reloc").splitlines():
            if m := re.match(r"([0-9a-f]+) R_X86_64_RELATIVE +\*ABS\*\+0x([0-9a-f]+)", line):
                self.pointers[int(m[1], 16)] = int(m[2], 16)
        for line in run("objdump", "--disassemble", "-M", "intel", "--no-show-raw-insn").splitlines():
            if m := re.match(r"([0-9a-f]+) <.*>:$", line):
                is_wanted = any(f.search(self.names.get(int(m[1], 16), "")) for f in functions)
                mine = code.setdefault(int(m[1], 16), []) if is_wanted else None
            elif mine is not None and ":\t" in line:
                mine.append(Instruction(line))
        self.code = code
        self.constants = {i.comment for code in self.code.values() for i in code if i.name == "lea"}
        with open(path, "rb") as file:
            self.bytes = file.read()

    def table(self, address, code):
        """Where a jump table leads. It ends where another begins, or what leads out of the function."""
        for at in range(address, address + 4 * 256, 4):
            if (target := address + self.word(at)) not in code or at in self.constants - {address}:
                return
            yield target

    def word(self, address):
        """The number at this address, by the program's segments (ELF, PT_LOAD)."""
        first, = struct.unpack_from("<Q", self.bytes, 32)
        for n in range(struct.unpack_from("<H", self.bytes, 56)[0]):
            kind, _, offset, start, _, size = struct.unpack_from("<IIQQQQ", self.bytes, first + 56 * n)
            if kind == 1 and start <= address < start + size:
                return struct.unpack_from("<i", self.bytes, address - start + offset)[0]
        return 0
