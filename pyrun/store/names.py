"""Words for names that nobody chose: an adjective and the surname of somebody who built computing or measured nature.

It must not know the store. Loaded only when a container is made without ``--name``.
"""

from __future__ import annotations

import os

_ADJECTIVES = (
    "able airy alert amber ample apt arctic balmy bold brave breezy bright brisk calm candid careful cheery civil "
    "clear clever cosy crisp curious daring deft dewy eager early easy even exact fair fast fearless fertile fine "
    "firm fleet fluent fond frank fresh frosty gentle glad golden graceful grand green hardy hearty honest humble "
    "ideal jaunty jolly just keen kind leafy light limber lively loyal lucid lucky lunar mellow merry mild "
    "mindful mighty modest narrow neat nimble noble novel open patient placid plain polite prompt proud prudent "
    "pure quick quiet rapid rare ready robust rosy rustic sage sandy serene sharp silent silver sincere sleek "
    "snug sober solar solid spry stable steady still sunny supple sure swift tender thrifty tidy tough tranquil "
    "true trusty upbeat valid vast verdant vivid warm wary wild wise witty woody young zesty"
)

_SURNAMES = (
    "abel adleman aiken allen ampere archimedes arrhenius avogadro babbage backus bardeen bell berzelius bohr "
    "boltzmann boole bose boyle brahe cantor carnot cauchy cavendish cerf chandra chandrasekhar church clarke "
    "codd conway copernicus cray curie dalton darwin davy diffie dijkstra dirac eckert edison einstein engelbart "
    "erdos euclid euler faraday feller fermat fermi feynman fibonacci fisher floyd fourier franklin galileo "
    "galois gauss gibbs goldwasser gosper gray haber halley hamilton hamming hawking heisenberg hellman helmholtz "
    "henry herschel hertz hilbert hoare hodgkin hollerith hopper hubble huffman huygens hypatia iverson jacobi "
    "jacquard johnson joule karp kay keller kelvin kepler kernighan khorana kilby kirchhoff kleene knuth "
    "kolmogorov kovalevskaya lagrange lamarr lamport laplace lavoisier leibniz linnaeus liskov lovelace "
    "mandelbrot maxwell mccarthy mcclintock meitner mendel mendeleev metcalfe milner minsky moore morse napier "
    "nash naur newell newton nightingale noether nyquist ohm oppenheimer pascal pasteur pauli perlis perlman "
    "planck poincare postel pythagoras raman ramanujan riemann ritchie rivest rutherford sagan sammet schrodinger "
    "shamir shannon shaw shockley sinoussi stallman stokes stroustrup sutherland tarjan tesla thales thompson "
    "thomson torvalds turing vaughan volta wallace watt weyl wien wiener wilkes wilkins wirth wozniak yao young "
    "yukawa zuse"
)
ADJECTIVES = _ADJECTIVES.split()
SURNAMES = _SURNAMES.split()


def draw(attempt: int) -> str:
    """Return a random name; from the second attempt on with a digit, as docker does."""
    word = int.from_bytes(os.urandom(8), "little")
    adjective = ADJECTIVES[word % len(ADJECTIVES)]
    surname = SURNAMES[(word >> 20) % len(SURNAMES)]
    return f"{adjective}_{surname}{(word >> 50) % 10 if attempt else ''}"
