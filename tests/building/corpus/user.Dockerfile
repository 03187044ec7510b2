# DF.user.name DF.user.nogroup DF.user.num DF.user.var
FROM corpus/files
USER me
RUN id -u > /tmp/me; id -g >> /tmp/me; id -G >> /tmp/me; echo $HOME >> /tmp/me; pwd >> /tmp/me
USER me:team
RUN id -g > /tmp/team
USER 42
RUN id -u > /tmp/number; id -g >> /tmp/number
ENV WHO=12:34
USER $WHO
RUN id -u > /tmp/both; id -g >> /tmp/both; touch /tmp/mine
