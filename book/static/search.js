"use strict";
// Search over the sections that book/search.py writes. Words meet by their stems, so
// that 나누는 finds 나눕니다 and masks finds masking. Whatever spelling or spacing a term
// of the glossary is typed in stands for the term: 빔서치, 빔 서치 and beam search are one.
(() => {
  const HANGUL = /[가-힣]/;
  const WORD = /[가-힣]+|(?:(?![가-힣])[\p{L}\p{N}])+|√/gu;
  const add = (map, key, value) => { const list = map.get(key); if (list) list.push(value); else map.set(key, [value]); };

  // ---- Korean: endings in letters (ㅂ니다 joins the syllable before it), taken off
  // one after the other
  const FINAL = { ㄴ: "\u11ab", ㄹ: "\u11af", ㅁ: "\u11b7", ㅂ: "\u11b8", ㅆ: "\u11bb" };
  const letters = (text) => text.replace(/^[ㄴㄹㅁㅂㅆ]/, (first) => FINAL[first]).normalize("NFD");
  const NOUN = `은 는 이 가 을 를 의 에 와 과 도 만 로 으로 나 이나 랑 이랑 라 들 에서 에게 까지 부터 보다 처럼 마다
    조차 밖에 마저 한테 라는 이라는 라고 이라고 란 이란 로서 으로서 로써 으로써 에는 에도 에서는 에서도 에서의 으로는
    으로도 까지는 까지의 부터는 만이 만을 만의 별로 별 씩 째 쯤 대로 같은 같이 뿐 용 적 적인 적으로 이다 이며 이고 이면 인 인지
    인가 인가요 일 임 예요 이에요 요 들은 들을 들이 들의 들끼리 끼리 하나 없이`.split(/\s+/);
  const VERB = `다 고 며 면 으면 려면 으려면 지 는지 은지 을지 ㄴ지 ㄹ지 니 나 나요 는가 은가 ㄴ가 는가요 ㄴ가요 은가요 ㄹ까 을까
    ㄹ까요 을까요 는 은 을 ㄴ ㄹ 던 기 음 ㅁ 게 도록 거나 지만 므로 으므로 니까 으니까 ㄴ다 는다 ㅂ니다 습니다 ㅂ니까 습니까 어 아
    어서 아서 서 어도 아도 어야 아야 어요 아요 요 세요 으세요 ㅆ다 ㅆ습니다 ㅆ을 ㅆ던 ㅆ는지 었다 았다 었습니다 았습니다 었을
    았을 었던 았던 었는지 았는지 면서 으면서 는데 은데 ㄴ데 네요 자 려고 으려고`.split(/\s+/);
  const LIGHT = ["하", "되", "시키"];  // 계산하다, 계산되다, 계산시키다: the noun is the stem
  const ENDINGS = new Map();
  for (const ending of NOUN) ENDINGS.set(letters(ending), 0.95);
  for (const ending of VERB) ENDINGS.set(letters(ending), 0.9);
  for (const light of [...LIGHT, "해", "돼", "시켜"]) {
    ENDINGS.set(letters(light), 0.95);
    for (const ending of VERB) ENDINGS.set(letters(light) + letters(ending), 0.9);
  }
  // the words of a text; what only hangs on a letter or a number (d로, GPU에서) is none
  const cut = (text) => {
    const words = [];
    let end = -1;
    for (const { 0: found, index: start } of text.matchAll(WORD)) {
      const hangs = start === end && ENDINGS.has(letters(found)) && !HANGUL.test(text[start - 1]);
      end = start + found.length;
      if (!hangs) words.push({ word: found.toLowerCase(), start, end });
    }
    return words;
  };
  const OPENED = { "\u116f": "\u116e", "\u1167": "\u1175", "\u116a": "\u1169" };  // 나눠: 나누, 그려: 그리, 봐: 보
  const korean = (word) => {
    const found = new Map([[letters(word), 1]]);
    for (const [form, weight] of found) {
      if (weight < 0.7) continue;
      for (let at = form.length - 1; at > 0; at--) {
        const share = ENDINGS.get(form.slice(at));
        if (share && !found.has(form.slice(0, at))) found.set(form.slice(0, at), weight * share);
      }
      const opened = OPENED[form.at(-1)];
      if (opened && !found.has(form.slice(0, -1) + opened)) found.set(form.slice(0, -1) + opened, weight * 0.9);
    }
    return [...found].map(([form, weight]) => [form.normalize("NFC"), weight])
      .map(([form, weight]) => [form, form.length > 1 || form === word ? weight : weight * 0.7]);
  };

  // ---- English: endings and the two spellings
  const RULES = [[/ies$/, "y"], [/(?<![su])s$/, ""], [/(s|x|z|ch|sh)es$/, "$1"], [/([^aeiou])\1(ing|ed|er)$/, "$1"],
    [/(ing|ed)$/, ""], [/(ing|ed|er)$/, "e"], [/(er|ly|al|ion|ance|ant|ity)$/, ""], [/ation$/, "e"], [/ation$/, "ate"],
    [/ie?r$/, "y"], [/is(e|ing|ed|er|ation)/, "iz$1"], [/our/, "or"], [/([ct])re$/, "$1er"]];
  const english = (word) => {
    const found = new Map([[word, 1]]);
    if (word.length > 3) for (const [form, weight] of found) {
      if (weight < 0.75) continue;
      for (const [ending, instead] of RULES) {
        const stem = form.replace(ending, instead);
        if (stem !== form && stem.length > 2 && !found.has(stem)) found.set(stem, weight * 0.95);
      }
    }
    return [...found];
  };
  const stemsOf = new Map();
  const stems = (word) => {
    if (!stemsOf.has(word)) stemsOf.set(word, HANGUL.test(word) ? korean(word) : english(word));
    return stemsOf.get(word);
  };

  // ---- words that ask and name nothing count little
  const EMPTY = new Set(`어떻게 하나요 무엇 무엇인지 뭔가요 뭔지 뭐 뭐가 방법 법 것 거 때 수 있나요 있는 하는 하는지 되는 되는지 되나요 되나 하나 나올 나옵니다 나오는 어디 어디에
    얼마나 언제 좀 알려 주세요 싶어요 싶은데 대해 대한 위한 보면 하면 하려면 쓰는 쓰기 알고 이란 란 왜 이유 까닭 필요한지 필요 어떤 뒤 예 예시 중 더 다 그 이 저 및 잘 안
    how to the a an of in is are was what which why when where who do does did vs and or for with between i my it its on at by be can not from from this that`.split(/\s+/));

  // ---- the index, once: words and terms with their places
  const HEADING = 0, PROSE = 1, CODE = 2;
  const build = (index) => {
    const names = new Map(), begins = new Set();
    index.terms.forEach(([, , , spellings], term) => {
      for (const spelling of spellings) {
        const words = cut(spelling).map(({ word }) => word);
        const last = words.pop() ?? "";
        // as it is written; 섞다 as 섞, embeddings as embedding
        const ends = HANGUL.test(last) ? [last.replace(/(?<=.)다$/, "")] : english(last).filter(([, weight]) => weight > 0.9).map(([stem]) => stem);
        for (const end of ends) {
          const key = words.join("") + end;
          if (!key || names.get(key)?.includes(term)) continue;
          add(names, key, term);
          for (let at = 1; at <= key.length; at++) begins.add(key.slice(0, at));
        }
      }
    });
    // terms that begin at a word: [how many words, which terms, how surely]
    const termsAt = (words, at) => {
      const found = [];
      let before = "";
      for (let end = at; end < words.length && end < at + 5; end++) {
        for (const [stem, weight] of stems(words[end].word)) {
          const terms = names.get(before + stem);
          if (terms) found.push([end - at + 1, terms, weight]);
        }
        before += words[end].word;
        if (!begins.has(before)) break;
      }
      return found;
    };
    const places = new Map(), termPlaces = new Map(), sizes = [], headings = [];
    const count = (map, key, section, field) => {
      if (!map.has(key)) map.set(key, new Map());
      const at = map.get(key);
      if (!at.has(section)) at.set(section, [0, 0, 0]);
      at.get(section)[field] += 1;
    };
    index.sections.forEach(([, , heading, prose, code], section) => {
      [heading, prose, code].forEach((text, field) => {
        const words = cut(text);
        if (field === PROSE) sizes[section] = words.length;
        if (field === HEADING) headings[section] = words.map((part, at) => ({ ...part, terms: termsAt(words, at) })).filter(({ word }) => !/^\d+$/.test(word));
        let until = 0;  // a term within a longer one is not meant: embedding in rotary position embedding
        words.forEach(({ word }, at) => {
          count(places, word, section, field);
          if (field === CODE) return;
          const found = termsAt(words, at);
          const long = Math.max(0, ...found.map(([length]) => length));
          if (at + long <= until) return;
          for (const [length, terms] of found) if (length === long) for (const term of terms) count(termPlaces, term, section, field);
          until = Math.max(until, at + long);
        });
      });
    });
    for (const [entry, explained] of index.terms) if (entry >= 0) {  // what defines a term describes its sections
      for (const { word } of cut(index.sections[entry][3])) for (const section of explained) count(places, word, section, CODE);
    }
    const byStem = new Map();
    for (const word of places.keys()) for (const [stem, weight] of stems(word)) add(byStem, stem, [word, weight]);
    const average = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    return { ...index, termsAt, places, termPlaces, sizes, headings, average, byStem, sorted: [...places.keys()].sort() };
  };
  let built = null;
  const model = () => built?.from === window.bookSearchIndex ? built
    : built = { ...build(window.bookSearchIndex), from: window.bookSearchIndex };

  // ---- a query: groups of words, each with the words and terms of the book it may mean
  const alike = ({ byStem, places, sorted }, word) => {
    const found = new Map();
    const keep = (other, weight) => { if (weight > (found.get(other) ?? 0.3)) found.set(other, weight); };
    for (const [stem, weight] of stems(word)) {
      for (const [other, share] of byStem.get(stem) ?? []) keep(other, weight * share);
      if (stem.length < (HANGUL.test(stem) ? 2 : 3)) continue;
      let low = 0, high = sorted.length;
      while (low < high) { const middle = (low + high) >> 1; if (sorted[middle] < stem) low = middle + 1; else high = middle; }
      for (; low < sorted.length && sorted[low].startsWith(stem); low++) keep(sorted[low], weight * (0.35 + 0.4 * stem.length / sorted[low].length));
    }
    if (places.has(word)) found.set(word, 1);
    else if (HANGUL.test(word)) for (let end = word.length - 1; end > 1; end--) {  // 연산량: 연산
      if (places.has(word.slice(0, end))) keep(word.slice(0, end), 0.75 * end / word.length);
    }
    return found;
  };
  const best = (found) => Math.max(0, ...found.values());
  const parts = (book, word) => {  // 좌표지도: 좌표, 지도
    let kept = null;
    for (let at = 2; at <= word.length - 2; at++) {
      const halves = [word.slice(0, at), word.slice(at)];
      const sure = Math.min(...halves.map((half) => best(alike(book, half))));
      if (sure > (kept?.sure ?? 0.75)) kept = { sure, halves };
    }
    return kept?.halves;
  };
  const groupsOf = (book, query) => {
    let words = cut(query.normalize("NFC"));
    words = words.flatMap((part, at) => {
      if (!HANGUL.test(part.word) || part.word.length < 4 || book.termsAt(words, at).length || best(alike(book, part.word)) > 0.75) return [part];
      return parts(book, part.word)?.map((word) => ({ word })) ?? [part];
    });
    const groups = [];
    for (let at = 0; at < words.length;) {
      const found = book.termsAt(words, at);
      const long = Math.max(1, ...found.map(([length]) => length));
      const meant = new Map();
      for (const [length, terms, weight] of found) if (length === long) for (const term of terms) meant.set(term, Math.max(weight, meant.get(term) ?? 0));
      const typed = words.slice(at, at + long).map(({ word }) => alike(book, word));
      const weak = long === 1 && EMPTY.has(words[at].word);
      const named = [...meant.keys()].some((term) => book.terms[term][0] >= 0);
      groups.push({ terms: meant, typed, named, share: weak ? 0.15 : 1 });
      at += long;
    }
    return groups;
  };

  // the share of a heading that the query says
  const said = (book, groups, section) => {
    const words = book.headings[section];
    let until = 0;
    const mine = words.filter(({ word, terms }, at) => {
      for (const [length, found] of terms) if (groups.some((group) => found.some((term) => group.terms.has(term)))) until = Math.max(until, at + length);
      return at < until || groups.some(({ typed }) => typed.some((alike) => alike.get(word) > 0.5));
    });
    return words.length ? mine.length / words.length : 0;
  };

  // how much a section says of a group: its heading first, then its text
  const say = ([heading, prose, code], long) => (heading ? 3 : 0) + 1.4 * prose / (prose + 0.8 + 0.5 * long) + 0.5 * code / (code + 1);
  const TITLE = 0.5;
  const weigh = (book, group, alone) => {
    const tops = [];
    const each = group.typed.map((words) => {
      const said = new Map();
      for (const [word, weight] of words) for (const [section, counts] of book.places.get(word)) {
        said.set(section, Math.max(said.get(section) ?? 0, weight * say(counts, book.sizes[section] / book.average)));
      }
      return said;
    });
    const total = new Map();
    if (each.length) for (const section of each[0].keys()) {
      const all = each.map((said) => said.get(section) ?? 0);
      if (all.every(Boolean)) total.set(section, (group.named ? 0.6 : 1) * all.reduce((sum, one) => sum + one, 0) / all.length);
    }
    for (const [term, weight] of group.terms) {
      const [entry, explained, homes] = book.terms[term];
      const here = new Map([...book.termPlaces.get(term) ?? []].map(([section, counts]) =>
        [section, (homes.includes(book.sections[section][0]) ? 1.3 : 1) * say(counts, book.sizes[section] / book.average)]));
      explained.forEach((section, place) => here.set(section, (here.get(section) ?? 0) + 3.4 - 0.4 * place));
      if (entry >= 0) here.set(entry, alone ? 9 : 4);  // the definition, if nothing else is asked
      const sure = weight * (entry >= 0 ? 1 : 0.7);
      for (const [section, value] of here) total.set(section, Math.max(total.get(section) ?? 0, sure * value));
    }
    book.sections.forEach(([page, anchor], section) => {  // what the page is about, each of its sections is about a little
      if (!anchor) tops[page] = said(book, [group], section) > 0;
      if (tops[page]) total.set(section, Math.max(total.get(section) ?? 0, TITLE));
    });
    return total;
  };

  const PRIOR = (anchor, first) => /-measured$/.test(anchor) ? 0.55 : /-exercises?(-|$)/.test(anchor) ? 0.8 : first;
  const FLOOR = 1.5, POWER = 1, SAID = 2;
  const ranked = (book, groups) => {
    const count = book.sections.length;
    const alone = groups.filter(({ share }) => share === 1).length === 1;
    const each = groups.map((group) => {
      const said = weigh(book, group, alone);
      const rare = Math.log(1 + count / Math.max(said.size, 1));
      return { said, weight: group.share * (said.size ? Math.max(rare, group.named ? FLOOR : 0) : 3) };
    });
    const whole = each.reduce((sum, { weight }) => sum + weight, 0);
    const totals = new Map();
    for (const { said, weight } of each) for (const [section, value] of said) {
      const [sum, covered] = totals.get(section) ?? [0, 0];
      totals.set(section, [sum + weight * value, covered + weight]);
    }
    const hits = [...totals].map(([section, [sum, covered]]) =>
      [sum * (covered / whole) ** POWER * (1 + SAID * said(book, groups, section)) * PRIOR(book.sections[section][1], book.sections[section][1] ? 1 : 0.75), covered / whole, section]);
    hits.sort((a, b) => b[0] - a[0] || a[2] - b[2]);
    const most = Math.max(...hits.map(([, covered]) => covered));
    return hits.filter(([score, covered]) => covered > 0.3 * most && score > 0.02 * hits[0][0]);
  };

  // ---- an excerpt: where most of the query stands together, its words marked
  const BEFORE = 40, LENGTH = 130;
  const pieces = (book, groups, text) => {
    const words = cut(text);
    const marks = [];
    words.forEach((part, at) => {
      groups.forEach((group, number) => {
        let long = group.typed.length === 1 && group.typed[0].get(part.word) > 0.4 ? 1 : 0;
        for (const [length, terms] of book.termsAt(words, at)) if (terms.some((term) => group.terms.has(term))) long = Math.max(long, length);
        if (long && group.share === 1) marks.push([part.start, words[at + long - 1].end, number]);
      });
    });
    let start = 0, most = 0;
    for (const [from] of marks) {
      const together = new Set(marks.filter(([other]) => other >= from && other < from + LENGTH - BEFORE).map((mark) => mark[2])).size;
      if (together > most) { most = together; start = Math.max(0, from - BEFORE); }
    }
    const found = [];
    let at = start;
    if (start) while (at < text.length && at < start + 15 && text[at - 1] !== " ") at++;
    const stop = Math.min(text.length, at + LENGTH);
    if (at) found.push(["…", false]);
    for (const [from, to] of marks) if (from >= at && to <= stop) {
      if (from > at) found.push([text.slice(at, from), false]);
      found.push([text.slice(from, to), true]);
      at = to;
    }
    found.push([text.slice(at, stop) + (stop < text.length ? "…" : ""), false]);
    return found;
  };

  window.bookSearch = (query) => {
    const book = model();
    const groups = groupsOf(book, query);
    if (!groups.length) return [];
    return ranked(book, groups).map(([, , section]) => {
      const [page, anchor, title, text] = book.sections[section];
      const [name, label] = book.pages[page];
      return { address: `${name}.html${anchor ? "#" + anchor : ""}`, title, page: label, get pieces() { return pieces(book, groups, text); } };
    });
  };
})();
