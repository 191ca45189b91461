"""Langfuse: the drop-in OpenAI client and `observe`."""

import os
from importlib.metadata import version

os.environ |= {
    "LANGFUSE_PUBLIC_KEY": "pk-lf-none",
    "LANGFUSE_SECRET_KEY": "sk-lf-none",
    "LANGFUSE_HOST": os.environ["LOOPBACK"],
    "LANGFUSE_BASE_URL": os.environ["LOOPBACK"],
}

from conversation import FAILING, GOOD, SESSION, USER, converse, get_order, search_policy
from langfuse import get_client, observe
from langfuse.openai import OpenAI

old = version("langfuse").startswith("3.")


@observe(name="answer")
def answer(question):
    def work():
        return converse(
            OpenAI(),
            question,
            tool=observe(name="get_order", as_type="tool")(get_order),
            retrieve=observe(name="search_policy", as_type="retriever")(search_policy),
        )

    if old:
        get_client().update_current_trace(session_id=SESSION, user_id=USER)
        return work()
    from langfuse import propagate_attributes

    with propagate_attributes(session_id=SESSION, user_id=USER):
        return work()


for question in (GOOD, FAILING):
    answer(question)
get_client().shutdown()
