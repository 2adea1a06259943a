# What Python programs are made of: dictionaries, strings, objects with methods, generators, sorting, big integers.
# Usage: objects.py ROUNDS
import sys


class Shape:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width * self.height


class Square(Shape):
    def __init__(self, side):
        super().__init__(side, side)

    def area(self):
        return super().area() + 1


def words(count):
    state = 1
    for _ in range(count):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        yield "w%d" % (state >> 16 & 0x3FF)


def counted(count):
    seen = {}
    for word in words(count):
        seen[word] = seen.get(word, 0) + 1
    best = sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:5]
    return ",".join("%s=%d" % item for item in best)


def areas(count):
    shapes = [Square(n % 50) if n % 3 else Shape(n % 40, n % 30) for n in range(count)]
    return sum(shape.area() for shape in shapes)


def primes(limit):
    sieve = bytearray([1]) * limit
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return sum(n for n in range(2, limit) if sieve[n])


def queens(size, row=0, columns=0, rising=0, falling=0):
    if row == size:
        return 1
    found = 0
    for column in range(size):
        here = 1 << column, 1 << row + column, 1 << row - column + size
        if not (columns & here[0] or rising & here[1] or falling & here[2]):
            found += queens(size, row + 1, columns | here[0], rising | here[1], falling | here[2])
    return found


def run():
    text = "".join(reversed(" ".join(words(4000)))).replace("w", "<>").split()
    power = pow(3, 4000) // pow(2, 3000) % 1000000007
    return counted(15000), areas(10000), primes(40000), queens(6), len(text), power


for _ in range(int(sys.argv[1])):
    result = run()
print("python", *result)
