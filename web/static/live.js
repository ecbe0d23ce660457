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

	// replace puts what was fetched in the place of what differs; what has the
	// focus stays, so that nobody loses the place.
	const replace = (fetched) => {
		for (const now of fetched.querySelectorAll("main section[id], main > .lead, footer time")) {
			const old = now.id ? document.getElementById(now.id) : document.querySelector(now.tagName === "TIME" ? "footer time" : "main > .lead");
			if (!old || old.isEqualNode(now)) continue;
			const active = document.activeElement;
			if (old !== active && old.contains(active)) {
				const same = [...old.querySelectorAll("a, [tabindex]")].indexOf(active);
				old.replaceWith(document.adoptNode(now));
				const next = now.querySelectorAll("a, [tabindex]")[same];
				if (next) next.focus({ preventScroll: true });
				continue;
			}
			old.replaceWith(document.adoptNode(now));
		}
		const added = [...fetched.querySelectorAll("main section[id]")].map((s) => s.id).join();
		const here = [...document.querySelectorAll("main section[id]")].map((s) => s.id).join();
		if (added !== here && !document.querySelector("main").contains(document.activeElement)) {
			document.querySelector("main").replaceWith(document.adoptNode(fetched.querySelector("main")));
		}
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
