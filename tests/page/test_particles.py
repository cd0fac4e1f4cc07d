"""Particles after a value: the form follows how the value is read aloud."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.attention.translation import MAX_NUMBER, spell_korean
from lib.page.particles import MARKS, final_sound, particle
from lib.page.record import as_text

READ = {  # as it is printed: as a Korean reads it
    "0.121": "영점 일이일", "0.125": "영점 일이오", "−0.016": "마이너스 영점 영일육",
    "3": "삼", "0": "영", "1.50": "일점 오영", "10": "십", "300": "삼백",
    "2,000": "이천", "50,257": "오만 이백오십칠", "1,000,000,000,000": "일조",
    "1.2e-07": "일점 이 곱하기 십의 마이너스 칠 제곱", "10⁻⁷": "십의 마이너스 칠 제곱",
    "96 %": "구십육 퍼센트", "96.1%": "구십육점 일 퍼센트", "0.4 %p": "퍼센트포인트",
    "2.5×": "이점 오 배", "12 ms": "십이 밀리초", "541 MiB": "오백사십일 메비바이트",
    "L16H0": "엘 십육 에이치 영", "L0H2": "엘 영 에이치 이", "NaN": "", "BPE": "비피이",
    "XL": "엑스엘", "한국어": "한국어", "영화평": "영화평", "말": "말",
    "0.121 (시드 5개)": "영점 일이일", "“달”": "달", "**0.3**": "영점 삼", "d": "디",
    "(3, 4)": "삼 사", "(5,)": "오", "[1, 2, 3]": "일 이 삼",
    "potential": "", "–": "", "": "",
}


@pytest.mark.parametrize(("printed", "read"), READ.items())
def test_a_value_ends_in_the_sound_it_is_read_with(printed, read):
    assert final_sound(printed) == (final_sound(read) if read else None)


@given(st.integers(1, MAX_NUMBER))
def test_a_whole_number_ends_as_its_spelling_does(number):
    assert final_sound(as_text(number)) == final_sound(spell_korean(number))


@pytest.mark.parametrize(("mark", "after"), {
    "이(가)": "달이 물이 감이 나무가", "은(는)": "달은 물은 감은 나무는",
    "을(를)": "달을 물을 감을 나무를", "과(와)": "달과 물과 감과 나무와",
    "(으)로": "달로 물로 감으로 나무로", "(이)었": "달이었 물이었 감이었 나무였",
    "(이)어": "달이어 물이어 감이어 나무여", "(이)": "달이 물이 감이 나무",
}.items())
def test_every_particle_has_its_form_after_each_sound(mark, after):
    words = ("달", "물", "감", "나무")
    assert " ".join(word + particle(word, mark) for word in words) == after


def test_every_mark_is_tried_above_and_stays_where_no_sound_can_be_told():
    assert {particle("cat", mark) for mark in MARKS} == set(MARKS)
