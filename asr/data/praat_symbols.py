r"""Praat's backslash trigraphs: \ng for ŋ, \sw for ə, \'1 for the stress mark.

They are those of Praat's manual ("Special symbols", "Phonetic symbols") and of its table of characters; a backslash
with one letter and a space, which stands for that letter, is not among them.
"""

from __future__ import annotations

from collections import Counter

import regex

# Two characters that stand behind the backslash, and what they are.
_LETTERS = r"""
a` à  a' á  a^ â  a~ ã  a" ä  ao å  a; ą  c' ć  c< č  c, ç  d< ď  d- đ  e` è  e' é  e^ ê  e" ë  e< ě  e; ę  g< ǧ
i` ì  i' í  i^ î  i" ï  l/ ł  n' ń  n~ ñ  n< ň  o` ò  o' ó  o^ ô  o~ õ  o" ö  o: ő  o/ ø  r< ř  s' ś  s< š  s, ş
t< ť  t, ţ  u` ù  u' ú  u^ û  u" ü  u: ű  uo ů  y' ý  y" ÿ  z' ź  z< ž  z! ż  ss ß  ae æ  oe œ  th þ  dh ð
A` À  A' Á  A^ Â  A~ Ã  A" Ä  Ao Å  A; Ą  C' Ć  C< Č  C, Ç  D< Ď  D- Đ  E` È  E' É  E^ Ê  E" Ë  E< Ě  E; Ę  G< Ǧ
I` Ì  I' Í  I^ Î  I" Ï  L/ Ł  N' Ń  N~ Ñ  N< Ň  O` Ò  O' Ó  O^ Ô  O~ Õ  O" Ö  O: Ő  O/ Ø  R< Ř  S' Ś  S< Š  S, Ş
T< Ť  T, Ţ  U` Ù  U' Ú  U^ Û  U" Ü  U: Ű  Uo Ů  Y' Ý  Y" Ÿ  Z' Ź  Z< Ž  Z! Ż  Ae Æ  Th Þ

al α  be β  ga γ  de δ  ep ε  ze ζ  et η  te θ  t2 ϑ  io ι  ka κ  la λ  mu μ  nu ν  xi ξ  on ο  pi π  o2 ϖ  ro ρ
si σ  s2 ς  ta τ  up υ  fi φ  f2 ϕ  ci χ  ps ψ  om ω
Al Α  Be Β  Ga Γ  De Δ  Ep Ε  Ze Ζ  Et Η  Te Θ  Io Ι  Ka Κ  La Λ  Mu Μ  Nu Ν  Xi Ξ  On Ο  Pi Π  Ro Ρ  Si Σ  Ta Τ
Up Υ  Fi Φ  Ci Χ  Ps Ψ  Om Ω

at ɐ  as ɑ  ay ɒ  ab ɒ  b^ ɓ  bc ʙ  bf β  ct ɔ  cc ɕ  cf χ  d. ɖ  d^ ɗ  e- ɘ  sw ə  sr ɚ  ef ɛ  er ɜ  kb ɞ  j- ɟ
j^ ʄ  jc ʝ  g^ ɠ  gs ɡ  gc ɢ  gf ɣ  G^ ʛ  rh ɤ  h- ħ  ht ɥ  h^ ɦ  hj ɧ  hc ʜ  i- ɨ  ic ɪ  l~ ɫ  l- ɬ  l. ɭ  lz ɮ
lc ʟ  mt ɯ  ml ɰ  mj ɱ  ng ŋ  nj ɲ  n. ɳ  nc ɴ  o- ɵ  Oe ɶ  ff ɸ  rt ɹ  rl ɺ  r. ɻ  f. ɽ  fh ɾ  id ɿ  rc ʀ  ri ʁ
s. ʂ  sh ʃ  ir ʅ  t. ʈ  tf θ  u- ʉ  hs ʊ  vs ʋ  vt ʌ  wt ʍ  yt ʎ  yc ʏ  z. ʐ  zc ʑ  zh ʒ  ?g ʔ  9e ʕ  ?- ʡ  9- ʢ
V^ ⱱ  O. ʘ  |1 ǀ  |2 ǁ  |- ǂ  |f |  [f [  ]f ]  ts ʦ  tS ʧ  dz ʣ  dZ ʤ  fd ƒ  FI ﬁ  FL ﬂ
:f ː  .f ˑ  hr ˞  '1 ˈ  '2 ˌ  ap ʼ  _u ‿  -5 ˥  -4 ˦  -3 ˧  -2 ˨  -1 ˩  |u ꜛ  |d ꜜ  NE ↗  SE ↘  NW ↖  SW ↙
^h ʰ  ^H ʱ  ^j ʲ  ^w ʷ  ^Y ᶣ  ^y ʸ  ^? ˀ  ^9 ˁ  ^l ˡ  ^s ˢ  ^g ˠ  ^M ᵚ  ^G ᶭ  ^x ˣ  ^f ᶠ  ^n ⁿ  ^m ᵐ  ^N ᵑ

bs \  un _  !d ¡  ?d ¿  -- –  +- ±  'a '  "l “  "r ”  << «  >> »  .c ·  dg °  c/ ¢  Lp £  cu ¤  eu €  Y= ¥  SS §
|| ¶  co ©  re ®  a_ ª  o_ º  tm ™  TM ™  no ¬  xx ×  :- ÷  bu •  'p ′  "p ″  At ∀  dd ∂  Er ∃  O| ∅  e= ∈  su ∑
-m −  /d ∕  Vr √  oc ∝  oo ∞  an ∧  or ∨  ni ∩  uu ∪  in ∫  .3 ∴  =~ ≅  ~~ ≈  =/ ≠  =3 ≡  <_ ≤  >_ ≥  c= ⊂  o+ ⊕
ox ⊗  Tt ⊥  .. ⋯  cl ♣  di ♦  he ♥  sp ♠  <- ←  ^| ↑  -> →  _| ↓  <> ↔  <= ⇐  ^# ⇑  => ⇒  _# ⇓  eq ⇔  pf ☞  f5 ❀

?+ א  B+ ב  G+ ג  D+ ד  H+ ה  V+ ו  Z+ ז  X+ ח  Y+ ט  J+ י  K% ך  K+ כ  L+ ל  M% ם  M+ מ  N% ן  N+ נ  S+ ס  9+ ע
P% ף  P+ פ  C% ץ  C+ צ  Q+ ק  R+ ר  W+ ש  T+ ת
"""
# Those that cannot be seen alone, or come apart in a normal form, by their code points.
_MARKS = r"""
-h 00AD
`^ 0300  '^ 0301  ^^ 0302  ~^ 0303  -^ 0304  N^ 0306  :^ 0308  0^ 030A  '' 030B  v^ 030C  `` 030F  cn 031A  x^ 033D
T( 0318  T) 0319  cv 031C  T^ 031D  Tv 031E  +v 031F  -v 0320  .v 0323  :v 0324  0v 0325  |v 0329  Nv 032A  wv 032B
vv 032C  nv 032F  ~v 0330  3v 0339  Uv 033A  Dv 033B  mv 033C  ~< 0334  ~/ 0334  -/ 0336  // 0338  LI 035C  li 0361
-' 1DC4  `- 1DC5  -` 1DC6  '- 1DC7  rf 1DC8  fr 1DC9
hI 05B4  cE 05B5  sE 05B6  pA 05B7  qA 05B8  hO 05B9  qU 05BB  dq 05BC  vO FB4B  sU FB35
"""


def _pairs(table: str) -> list[tuple[str, str]]:
    parts = table.split()
    return list(zip(parts[::2], parts[1::2], strict=True))


SYMBOLS = {
    **{"\\" + name: character for name, character in _pairs(_LETTERS)},
    **{"\\" + name: chr(int(code, 16)) for name, code in _pairs(_MARKS)},
}
# C:\texts or \\server\texts, in which a backslash is one; else a backslash and two characters that a keyboard has.
_SEQUENCE = regex.compile(r"(?<!\S)((?:[A-Za-z]:\\|\\\\)\S*)|\\[ -~]{2}|\\")


def from_trigraphs(text: str, seen: Counter[str]) -> str:
    """Returns the text with Praat's trigraphs as characters; what is none of them stays as it is.

    Args:
        text: As a file of Praat has it.
        seen: Counts every sequence that begins with a backslash, those that stay, too.
    """

    def character(match: regex.Match[str]) -> str:
        if match[1]:
            return str(match[1]).replace("\\bs", "\\")
        sequence = str(match[0])
        seen[sequence] += 1
        return SYMBOLS.get(sequence, sequence)

    return str(_SEQUENCE.sub(character, text)) if "\\" in text else text


def to_trigraphs(text: str) -> str:
    """Returns the text as Praat reads it back: a backslash is its trigraph, all other characters are themselves."""
    return text.replace("\\", "\\bs")
