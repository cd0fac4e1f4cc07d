"""What a stage of the vocabulary pipeline tells when it ends, in both languages."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lib.page.record import as_text

#: What the key results of the stages are called.
NAMES = {
    "model": "모델 | model",
    "weights": "가중치가 있는 곳 | where its weights are",
    "vocabulary": "어휘의 크기 | size of the vocabulary",
    "rows": "임베딩의 행 | rows of embeddings",
    "files": "말뭉치 파일 | files of the corpora",
    "kept_files": "그대로 둔 파일 | files kept as they were",
    "documents": "문서 | documents",
    "bytes": "바이트 | bytes",
    "tokens": "토큰 | tokens",
    "used": "쓰인 토큰의 종류 | tokens that occur",
    "bytes_per_token": "토큰 하나의 바이트 | bytes a token",
    "types": "서로 다른 프리토큰 | different pre-tokens",
    "occurrences": "프리토큰이 나온 횟수 | occurrences of pre-tokens",
    "words": "배우는 낱말 | words learned from",
    "words_lost": "낱말 하나를 덜 센 횟수, 많아야 | "
                  "counts of a word too low by, at most",
    "listed": "목록의 말 | words of the lists",
    "wrong_listed": "그 가운데 점수만으로는 틀린 것 | of these, wrong by scores alone",
    "wrong_types": "점수만으로는 틀린 것 | wrong by scores alone",
    "wrong_occurrences": "그것이 나온 횟수 | occurrences of these",
    "rules": "정확 층의 규칙 | rules of the exactness layer",
    "foreseen": "그 가운데 글에 없던 말의 것 | of these, for words not in the texts",
    "unmended": "규칙으로도 못 고친 것 | mended by no rule",
    "reassigned": "넘겨준 번호 | ids reassigned",
    "candidates": "후보 조각 | candidate pieces",
    "missing_bytes": "새로 넣은 바이트 | bytes that were missing",
    "given_up_used": "내준 토큰 가운데 쓰이던 것 | given up although used",
    "domain_tokens": "고른 글의 토큰 | tokens of the text chosen from",
    "domain_saved": "줄어든 비율(%) | saved there (%)",
    "held_out_documents": "따로 둔 문서 | documents held out",
    "held_out_tokens": "따로 둔 글의 토큰 | tokens held out",
    "held_out_saved": "따로 둔 글에서 줄어든 비율(%) | saved on held-out text (%)",
    "held_out_longer": "길어진 문서 | documents that became longer",
    "general_tokens": "다른 글의 토큰 | tokens of other text",
    "general_saved": "다른 글에서 줄어든 비율(%) | saved on other text (%)",
    "init_strategy": "새 행을 만든 방법 | how new rows were made",
    "tied": "입력과 출력이 한 표인가 | one table for input and output",
    "width": "너비 | width",
    "steps": "학습 스텝 | steps",
    "bits_before": "바꾸기 전 바이트당 비트 | bits per byte before the swap",
    "bits_aligned": "학습 전 바이트당 비트 | bits per byte before training",
    "bits_trained": "학습 뒤 바이트당 비트 | bits per byte after training",
    "bits_untouched": "바꾸지 않고 학습시킨 모델의 바이트당 비트 | "
                      "bits per byte of the untouched model, tuned",
    "other_bits_before": "다른 글, 바꾸기 전 | other text, before the swap",
    "other_bits_aligned": "다른 글, 학습 전 | other text, before training",
    "other_bits_trained": "다른 글, 학습 뒤 | other text, after training",
    "other_bits_untouched": "다른 글, 바꾸지 않고 학습시킨 모델 | "
                            "other text, the untouched model, tuned",
    "untouched_steps": "바꾸지 않은 모델의 스텝 | steps of the untouched model",
    "held_out_bytes": "따로 둔 글의 바이트 | bytes held out",
    "domain_left_out": "따로 둔 글과 같아 말뭉치에서 뺀 줄 | "
                       "lines of the corpora left out, as they are held out",
    "replay_left_out": "따로 둔 글과 같아 섞는 글에서 뺀 줄 | "
                       "lines of the replay left out, as they are held out",
    "export_strings": "형태를 증명한 문자열 | strings that prove the forms",
    "export_readers": "번호를 견준 읽는 쪽 | readers compared, id by id",
    "llama_pattern": "llama.cpp의 프리토크나이저 | pre-tokenizer in llama.cpp",
    "unmade": "병합으로 못 만드는 새 조각 | new pieces that no merges make",
    "lost": "병합으로 못 만들게 된 옛 조각 | old pieces that merges no longer make",
    "bridges": "병합을 새로 얻은 옛 조각 | old pieces with a merge of their own",
    "kept_texts": "새 조각도 내준 조각도 없는 글 | "
                  "texts without new or given-up pieces",
    "kept_same": "그 가운데 병합이 전과 같은 것 | "
                 "of these, cut as before by the merges",
    "export_documents": "형태를 견준 문서 | documents on which forms are compared",
    "merges_same": "병합이 유니그램과 같은 문서(%) | "
                   "documents, merges as the Unigram (%)",
    "merges_longer": "병합에서 늘어난 토큰(%) | more tokens with the merges (%)",
    "bare_same": "규칙 없는 유니그램이 같은 문서(%) | "
                 "documents, Unigram without rules the same (%)",
    "bare_longer": "규칙 없는 유니그램에서 늘어난 토큰(%) | "
                   "more tokens without rules (%)",
    "general_left_out": "따로 둔 글과 같아 다른 글에서 뺀 줄 | "
                        "lines of other text left out, as they are held out",
}


def report(told: dict[str, Any]) -> pd.DataFrame:
    """The key results of a manifest as a table, with the seconds that it took.

    >>> table = report({"stage": "remap", "results": {"reassigned": 2457},
    ...                 "seconds": 1.25})
    >>> table["remap"].to_dict()
    {'넘겨준 번호 | ids reassigned': '2,457', '걸린 시간(초) | seconds': '1.25'}
    """
    rows = {NAMES.get(key, key): as_text(value)
            for key, value in told["results"].items()}
    rows["걸린 시간(초) | seconds"] = as_text(told["seconds"])
    return pd.Series(rows, name=told["stage"]).to_frame()
