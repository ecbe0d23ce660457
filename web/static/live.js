// Keeps the sections of a page as the server has them, without a reload. When
// the server says that something changed, the page is fetched and each section
// that differs is replaced. Without this script everything can be read as well.
"use strict";

(() => {
	const said = document.getElementById("live");
	const pause = 1000; // between two fetches, at least
	let fetching = false, again = false;

	const say = (text) => {
		if (said.textContent !== text) said.textContent = text;
	};

	const sections = (doc) => [...doc.querySelectorAll("main section[id]")];
	const inside = (part) => [...part.querySelectorAll("a, summary, [tabindex]")];

	// busy is a part in which somebody fills in a form.
	const busy = (part) => part.querySelector("details[open] form") || part.contains(document.activeElement.closest("form"));

	// swap puts now in the place of old, if they differ; the focus stays where it
	// was, and open what was, so that nobody loses the place.
	const swap = (old, now) => {
		if (!old || !now || busy(old) || old.isEqualNode(now)) return;
		const at = inside(old).indexOf(document.activeElement);
		const open = [...old.querySelectorAll("details[open]")].map((part) => part.id);
		old.replaceWith(document.importNode(now, true));
		for (const id of open) document.getElementById(id)?.setAttribute("open", "");
		if (at >= 0) inside(document.getElementById(now.id) || document)[at]?.focus({ preventScroll: true });
	};

	// replace puts what was fetched in the place of what differs: section by
	// section, or all of them if they are others.
	const replace = (fetched) => {
		const ids = (doc) => sections(doc).map((s) => s.id).join();
		const main = document.querySelector("main");
		if (ids(fetched) !== ids(document) && !busy(main)) {
			swap(main, fetched.querySelector("main"));
		} else {
			for (const now of sections(fetched)) swap(document.getElementById(now.id), now);
			swap(document.querySelector("main > .lead"), fetched.querySelector("main > .lead"));
		}
		swap(document.querySelector("footer time"), fetched.querySelector("footer time"));
	};

	const look = async () => {
		if (fetching) {
			again = true;
			return;
		}
		fetching = true;
		try {
			const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
			if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
		} catch {
			say("Not connected: this is what it last was.");
		}
		setTimeout(() => {
			fetching = false;
			if (again) {
				again = false;
				look();
			}
		}, pause);
	};

	let stream;
	const follow = () => {
		stream = new EventSource("/live");
		stream.onopen = () => say("Live.");
		stream.onmessage = look;
		stream.onerror = () => {
			say("Not connected: this is what it last was.");
			if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 5 * pause);
		};
	};

	// A page that nobody sees asks for nothing.
	document.addEventListener("visibilitychange", () => {
		if (document.hidden) {
			if (stream) stream.close();
			stream = undefined;
		} else if (!stream) {
			follow();
			look();
		}
	});
	follow();
})();
