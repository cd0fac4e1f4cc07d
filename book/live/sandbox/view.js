"use strict";
bookLive.instrument("sandbox", ({ root, words }) => root.append(words.title));
