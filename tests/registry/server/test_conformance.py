"""The rows of the OCI distribution specification that a server has to fulfil, each with the test that shows it.

A row is an endpoint ("end-…", the numbers of the specification's table), a rule or an error code.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SHOWN = {
    "end-1": "test_pull.test_the_version_check",
    "end-2.GET": "test_pull.test_large_blobs_and_many_at_once",
    "end-2.HEAD": "test_pull.test_large_blobs_and_many_at_once",
    "end-3.GET": "test_pull.test_manifests_come_as_they_went",
    "end-3.HEAD": "test_pull.test_manifests_come_as_they_went",
    "end-4a": "test_push.test_post_then_put",
    "end-4b": "test_push.test_single_post",
    "end-4c": "test_push.test_the_algorithm_is_announced",
    "end-5": "test_push.test_chunks_in_order",
    "end-6": "test_push.test_the_last_chunk_in_the_put",
    "end-7a": "test_push.test_manifests_by_tag_and_by_digest",
    "end-7b": "test_push.test_several_tags_at_once",
    "end-8a": "test_discovery.test_tags_in_pages",
    "end-8b": "test_discovery.test_tags_in_pages",
    "end-9.tag": "test_deletion.test_tags",
    "end-9.manifest": "test_deletion.test_manifests_with_all_their_tags",
    "end-10": "test_deletion.test_blobs",
    "end-11": "test_push.test_mount",
    "end-12a": "test_discovery.test_referrers",
    "end-12b": "test_discovery.test_referrers",
    "end-13": "test_push.test_chunks_in_order",
    "end-14": "test_push.test_cancel",
    "pull.range": "test_pull.test_ranges",
    "pull.content-digest": "test_pull.test_manifests_come_as_they_went",
    "pull.accept": "test_pull.test_docker_manifests_keep_their_type",
    "pull.unknown-manifest": "test_pull.test_unknown_things",
    "pull.unknown-blob": "test_pull.test_unknown_things",
    "push.post-then-put": "test_push.test_post_then_put",
    "push.single-post": "test_push.test_single_post",
    "push.chunked": "test_push.test_chunks_out_of_order",
    "push.chunk-min": "test_push.test_the_least_chunk_is_announced",
    "push.stream": "test_push.test_streamed_without_a_range",
    "push.location-relative": "test_push.test_post_then_put",
    "push.mount-no-from": "test_push.test_mount",
    "push.mount-fallback": "test_push.test_mount",
    "push.digest-mismatch": "test_push.test_wrong_digests",
    "push.manifest-blob-missing": "test_push.test_what_a_manifest_needs_must_be_there",
    "push.manifest-size": "test_push.test_manifests_have_a_bound",
    "push.subject": "test_discovery.test_referrers",
    "push.index-before-children": "test_discovery.test_a_subject_that_is_not_there_yet",
    "push.crossmount-auth": "test_access.test_rules",
    "push.tag-immutable": "test_push.test_immutable_tags",
    "discovery.tags-order": "test_discovery.test_tags_in_pages",
    "discovery.tags-n0": "test_discovery.test_tags_in_pages",
    "discovery.referrers-empty": "test_discovery.test_referrers",
    "discovery.referrers-filter": "test_discovery.test_referrers",
    "discovery.referrers-tag-schema": "test_discovery.test_a_pushed_fallback_tag_wins",
    "discovery.referrers-link": "test_discovery.test_referrers",
    "discovery.catalog": "test_discovery.test_catalog",
    "mgmt.delete-405": "test_deletion.test_deletion_switched_off",
    "mgmt.delete-referrer": "test_discovery.test_referrers",
    "name.regex": "test_pull.test_names_that_are_none",
    "auth.bearer": "test_access.test_the_registry_issues_tokens_itself",
    "auth.basic": "test_access.test_passwords",
    "auth.refresh": "test_access.test_refresh_tokens",
    "auth.anonymous-pull": "test_access.test_the_registry_issues_tokens_itself",
    "errors.body": "test_push.test_wrong_digests",
    "err.BLOB_UNKNOWN": "test_pull.test_unknown_things",
    "err.BLOB_UPLOAD_INVALID": "test_push.test_senseless_content_range",
    "err.BLOB_UPLOAD_UNKNOWN": "test_push.test_sessions_that_are_none",
    "err.DIGEST_INVALID": "test_push.test_wrong_digests",
    "err.MANIFEST_BLOB_UNKNOWN": "test_push.test_what_a_manifest_needs_must_be_there",
    "err.MANIFEST_INVALID": "test_push.test_what_is_no_manifest",
    "err.MANIFEST_UNKNOWN": "test_pull.test_unknown_things",
    "err.NAME_INVALID": "test_pull.test_names_that_are_none",
    "err.NAME_UNKNOWN": "test_discovery.test_tags_of_nothing",
    "err.SIZE_INVALID": "test_push.test_a_chunk_of_another_length",
    "err.UNAUTHORIZED": "test_access.test_passwords",
    "err.DENIED": "test_access.test_rules",
    "err.UNSUPPORTED": "test_deletion.test_read_only",
    "err.TOOMANYREQUESTS": "test_service.test_too_many_requests",
    "proxy.ns": "test_through.test_several_upstreams",
    "header.api-version": "test_pull.test_the_version_check",
    "upload.uuid": "test_push.test_post_then_put",
}
#: Rows that concern a registry's clients: shown by ours.
CLIENTS = {
    "pull.redirect": "images/test_pull.test_a_redirect_takes_no_credentials_along",
    "name.host-255": "spec/test_reference.test_bad_names",
    "warn.header": "images/test_pull.test_warnings_of_the_registry_arrive",
}


@pytest.mark.parametrize("row", [*SHOWN, *CLIENTS])
def test_a_row_has_its_test(row: str) -> None:
    """The server's are beside this file; blobs are sent from here, nothing is redirected, and nobody is warned."""
    here = Path(__file__).parent
    module, _, name = SHOWN[row].partition(".") if row in SHOWN else CLIENTS[row].rpartition(".")
    tree = ast.parse(((here if row in SHOWN else here.parents[1]) / f"{module}.py").read_text())
    assert name in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_row_is_here_once() -> None:
    """OCIDIST.end-1 and all the others."""
    assert len(SHOWN) + len(CLIENTS) == 77
    assert not SHOWN.keys() & CLIENTS.keys()
    places = [above / "shared" / "surface" / "oci-image-dist.tsv" for above in Path(__file__).parents]
    if (table := next(filter(Path.is_file, places), None)) is not None:
        names = [line.partition("\t")[0] for line in table.read_text().splitlines()]
        listed = {name.removeprefix("OCIDIST.") for name in names if name.startswith("OCIDIST.")}
        assert listed == SHOWN.keys() | CLIENTS.keys()
